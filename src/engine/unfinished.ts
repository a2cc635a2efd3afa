/** What the daemon before this one was in the middle of when it ended: it is finished, or was undone, and both are told. */
import { type AppState, activeOf, findRelease, type ReleaseRecord } from '../core/app.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { pidsIn } from '../linux/enclosure.ts'
import type { Operation as Written } from '../store/operations.ts'
import { inBackground } from './background.ts'
import { cleanUp, writeFailure } from './clean-up.ts'
import { operationOf } from './cutover.ts'
import { tellFound } from './found.ts'
import { keyOf, type Node } from './node.ts'
import { createSteps } from './steps.ts'
import { completeRemove, completeStop, endProcesses } from './stop.ts'

/** A candidate whose deploy or rollback nobody leads any more never goes live. */
export async function undoCandidate(
  node: Node,
  app: AppName,
  { number: release, liveAt }: ReleaseRecord,
  unfinished: readonly Written[],
): Promise<void> {
  const { kind, step } = unfinished.findLast((one) => one.app === app && one.release === release) ?? {}
  const command = liveAt === null && kind !== 'restart' ? releaseCommand(node, app, release, step) : ''
  await cleanUp(node, app, release, { files: liveAt === null })
  const reason = `the daemon ended before the cutover${step === undefined ? '' : `, in the step ${step}`}${command}`
  writeFailure(node, app, release, reason)
}

/** What is known of its `release` command, which is never run twice: the end of a sentence. */
function releaseCommand(node: Node, app: AppName, release: ReleaseNumber, step: string | undefined): string {
  if (node.store.apps.config(app, release).config.release === null) return ''
  if (step !== undefined && afterReleaseCommand.has(step)) return '; its release command had run'
  if (step !== 'release') return ''
  return pidsIn(`${node.cgroup}/${keyOf(app, release)}/release`).length > 0
    ? `; the release command of ${named(release)} was running, and was ended`
    : `; the release command of ${named(release)} may have run, which is not known: it is not run again`
}

const afterReleaseCommand: ReadonlySet<string> = new Set(['start', 'healthy', 'warmup', 'cutover'])

/**
 * To be called when the app has been looked after: what is to be finished goes on in the background, with the app's lock. `ran`: its release
 * was found running.
 */
export function conclude(node: Node, written: Written, ran: boolean): void {
  const { id, app, release } = written
  const state = node.store.apps.find(app) === null ? null : node.store.apps.state(app)
  const verdict = verdictOn(written, state, ran)
  if ('does' in verdict) {
    goOn(node, written, verdict.does)
    return
  }
  node.store.operations.end(id, verdict.outcome, verdict.text)
  tellFound(node, app, release, 'recovered', verdict.text)
}

type Verdict = { readonly outcome: 'done' | 'failed'; readonly text: string } | { readonly does: 'finishes' | 'undoes' }

/** What becomes of the operation: once clients are refused a stop goes on to its end, and so does a remove. */
function verdictOn({ app, kind, release }: Written, state: AppState | null, ran: boolean): Verdict {
  const active = state === null ? null : activeOf(state)
  const stopped = state?.stopped ?? false
  const now = active === null ? 'nothing of it is live' : `${named(active.number)} is active`
  const it = release === null ? app : named(release)
  const isLive = active !== null && active.number === release && !stopped
  switch (kind) {
    case 'deploy':
    case 'restart':
    case 'rollback': {
      if (isLive && ran) return { outcome: 'done', text: `${it} is live: the daemon ended right after the cutover` }
      if (isLive) return { outcome: 'failed', text: `${it} ${doesNotRun}` }
      const never = kind === 'rollback' ? 'did not go live again' : 'never went live'
      return { outcome: 'failed', text: `${it} ${never}, and ${now}: ${reasonIn(state, release)}` }
    }
    case 'start':
      if (stopped) return { does: 'undoes' }
      if (isLive && ran) return { outcome: 'done', text: `${it} is live: the daemon ended right after the start` }
      return { outcome: 'failed', text: `${it} did not start: the daemon ended during that` }
    case 'stop':
      if (stopped) return { does: 'finishes' }
      return { outcome: 'failed', text: `${now}, as before: the daemon ended before the stop began` }
    case 'remove':
      if (state === null) return { outcome: 'done', text: `${app} is removed: the daemon ended right after that` }
      if (stopped || active === null) return { does: 'finishes' }
      return { outcome: 'failed', text: `${now}, as before: the daemon ended before the remove began` }
  }
}

const doesNotRun = 'was written down as live, and did not run any more when the daemon was started: it is started again'

const reasonIn = (state: AppState | null, release: ReleaseNumber | null): string =>
  (state === null || release === null ? null : findRelease(state, release)?.reason) ??
  'the daemon ended before the cutover'

function goOn(node: Node, { id, app, kind, release, by, at }: Written, does: 'finishes' | 'undoes'): void {
  const lock = node.locks.take(app, `the rest of the ${kind}`, by)
  const text = `the daemon ended during the ${kind} of ${app}, and the next one ${does} it`
  node.store.operations.note(app, 'recovery', release, 'done', text)
  tellFound(node, app, release, 'recovered', text)
  const operation = operationOf(node, app, { id, kind, by, steps: createSteps(() => {}), started: at })
  void inBackground(node, `${kind} ${app}.`, async () => {
    using _lock = lock
    if (kind === 'stop') await completeStop(node, app, operation)
    else if (kind === 'remove') await completeRemove(node, app, release ?? 0, operation)
    else {
      await endProcesses(node, app, operation.steps)
      node.store.operations.end(id, 'failed', `${app} stays stopped: the daemon ended during the ${kind}`)
    }
  })
}
