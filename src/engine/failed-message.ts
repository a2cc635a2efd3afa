/** What people read when a deploy, rollback or start did not go live: what failed, where traffic is, the end of the log. */

import { findRelease } from '../core/app.ts'
import type { StepName } from '../core/documents.ts'
import { formatDuration } from '../core/duration.ts'
import { CutoverError } from '../core/errors.ts'
import { exhausted } from '../core/exhausted.ts'
import { inherits } from '../core/strategy.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { lastLines } from '../instances/logs.ts'
import { missedFile } from '../store/files/missed.ts'
import type { LeftOut } from '../store/files/survey.ts'
import { ranOutOfTime } from './bring-up.ts'
import { trafficIsOn } from './listening.ts'
import type { Node } from './node.ts'
import { foundItTaken, insteadOf, lacksInterpreter } from './way.ts'

export interface Failure {
  readonly app: AppName
  readonly release: ReleaseNumber
  readonly step: StepName | null
  readonly error: unknown
  readonly deployTimeoutMs: number
  /** Why somebody wanted it to end: `interrupted`, where whoever asked for it did; null if nobody did. */
  readonly aborted: string | null
  readonly leftOut: readonly LeftOut[]
}

/** Steps in which programs of the app run and write to its log. */
const logged: ReadonlySet<StepName> = new Set(['build', 'release', 'start', 'healthy', 'warmup'])
const shownLines = 10

/** The error to throw to whoever asked. What is no CutoverError is a defect and is thrown as it is. */
export async function explain(node: Node, failed: Failure): Promise<unknown> {
  const { app, release, step, error, aborted } = failed
  const nothingLeft = error instanceof CutoverError ? null : exhausted(error)
  if (!(error instanceof CutoverError) && nothingLeft === null && aborted === null) return error
  const name = `${app} ${named(release)}`
  const state = node.store.apps.state(app)
  const traffic = trafficIsOn(node, app)
  // One that was live before is brought back by a rollback or a start.
  const wasLive = (findRelease(state, release)?.liveAt ?? null) !== null
  const outcome = wasLive ? 'did not go live again' : 'never went live'
  if (aborted !== null) {
    const why = aborted === 'interrupted' ? '' : `: ${aborted}`
    return new CutoverError('failed', `${name} was aborted before the cutover and ${outcome}${why}. ${traffic}`)
  }
  const said = nothingLeft ?? (error instanceof Error ? error.message : String(error))
  // That it cannot be read (no descriptors are left) must not keep the release from being undone.
  const log =
    step !== null && logged.has(step) ? await lastLines(node.home.log(app, release), shownLines).catch(() => []) : []
  const missing = missedFile(failed.leftOut, log, node.home.release(app, release))
  const hint = missing === null ? '' : `\n${missing.path} was left out of the release by ${missing.by}.`
  const own = error instanceof CutoverError ? error.details : []
  const record = findRelease(state, release)
  const config = record === null ? null : node.store.apps.config(app, release).config
  const given = config !== null && inherits(config) ? aboutGiven(log) : ''
  const whole = log.length > 0 ? `\nIts whole log: cutover logs ${app} --release ${named(release)}` : ''
  return new CutoverError('failed', `${name} ${phrase(failed, outcome, said)}. ${traffic}${hint}${given}${whole}`, {
    details: [...own, ...log],
    cause: error,
  })
}

/** What the log of a program tells that was given its sockets. */
function aboutGiven(log: readonly string[]): string {
  if (foundItTaken(log)) return `\nIt opened its port itself, ${insteadOf}.`
  return lacksInterpreter(log) ? '\nIts interpreter (the first line of a script) or loader does not exist.' : ''
}

/** The same in one line, for status and history. */
export function reasonOf(explained: unknown, error: unknown): string {
  if (!(explained instanceof CutoverError)) return String(explained)
  const details = error instanceof CutoverError ? error.details : []
  return [explained.message.split('\n')[0], ...details].join(' ')
}

function phrase({ step, error, deployTimeoutMs }: Failure, outcome: string, said: string): string {
  const late = ranOutOfTime(error) ? ` within ${formatDuration(deployTimeoutMs)} (deploy_timeout)` : ''
  const text = said.replace(/\.$/, '')
  switch (step) {
    case 'build':
      return `was not built, and ${outcome}: ${text}`
    case 'release':
      return `failed in its release command, and ${outcome}: ${text}`
    case 'start':
      return `did not start${late} and ${outcome}: ${text}`
    case 'healthy':
    case 'warmup':
      return `did not get healthy${late} and ${outcome}: ${text}`
    default:
      return `${outcome}: ${text}`
  }
}
