/** A rollback: the same cutover the other way. At once if the release still runs; else it is started and proven first. */
import { rollbackTarget } from '../core/decisions.ts'
import type { Actor, Receipt } from '../core/documents.ts'
import { named, type ReleaseNumber } from '../core/words.ts'
import { bringUp, type Proven } from './bring-up.ts'
import { beginOperation, cutOverStep, endOperation } from './cutover.ts'
import type { Report, RollbackRequest } from './engine.ts'
import { giveUp } from './give-up.ts'
import { listensEverywhere } from './listening.ts'
import { type Node, now, type Running, runningOf } from './node.ts'
import { retire } from './settle.ts'
import { createSteps, type Steps } from './steps.ts'
import { type Former, offOf, stopFormer } from './stop-former.ts'

/**
 * Goes back, with exactly the meaning that the core's decision gives it.
 * @throws CutoverError `refused` if there is nothing to go back to or a guard forbids it; `failed` if the release could not be brought up again
 */
export async function rollback(
  node: Node,
  { app, to, from }: RollbackRequest,
  by: Actor,
  report: Report,
  signal: AbortSignal,
): Promise<Receipt> {
  using lock = node.locks.take(app, 'a rollback', by)
  const wish = { ...(to !== undefined && { to }), ...(from !== undefined && { from }), now: now() }
  const { release } = rollbackTarget(node.store.apps.state(app), wish)
  const label = node.store.apps.state(app).releases.find(({ number }) => number === release)?.label ?? null
  lock.isFor(`the rollback to ${named(release)}`)
  report({ type: 'release', app, release, label })
  const steps = createSteps(report)
  const operation = beginOperation(node, { app, release, kind: 'rollback', step: 'start', by, steps })
  let former: Former | null = null
  let live: { readonly running: Running; readonly readyMs: number; readonly us: number }
  node.wanted.set(app, release)
  try {
    former = await stopFormer(node, app, release, operation, signal)
    const ready = awakeStandby(node, app, release) ?? (await startAgain(node, app, release, steps, signal))
    const formerEnded = former !== null
    const event = { type: 'cutover', kind: 'rollback', release, by: by.name, formerEnded, at: now() } as const
    const { us } = await cutOverStep(node, operation, ready, event, signal)
    live = { ...ready, us }
  } catch (error) {
    const { deployTimeoutMs } = node.store.apps.config(app, release).config
    throw await giveUp(node, {
      app,
      release,
      operation,
      error,
      deployTimeoutMs,
      signal,
      leftOut: [],
      files: false,
      former,
    })
  } finally {
    node.wanted.delete(app)
  }
  return endOperation(node, operation, live.running, { ...live, off: offOf(former) })
}

type Ready = Pick<Proven, 'running' | 'readyMs' | 'requireSound'>

/** The release as it runs, if it can take over at once: it has a listener on every declared port. */
function awakeStandby(node: Node, app: string, release: ReleaseNumber): Ready | null {
  const state = node.store.apps.state(app).releases.find(({ number }) => number === release)?.state
  const running = runningOf(node, app, release)
  if (running === null || (state !== 'standby' && state !== 'draining')) return null
  return listensEverywhere(node, running) ? { running, readyMs: 0, requireSound: () => {} } : null
}

/** A release that is being ended, or that runs without listening, is ended first; then it is started and proven anew. */
async function startAgain(
  node: Node,
  app: string,
  release: ReleaseNumber,
  steps: Steps,
  signal: AbortSignal,
): Promise<Ready> {
  const state = node.store.apps.state(app).releases.find(({ number }) => number === release)?.state
  if (state === 'retiring' || state === 'standby' || state === 'draining') {
    const aborted = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => aborted.resolve(), { once: true })
    await Promise.race([retire(node, app, release), aborted.promise])
    signal.throwIfAborted()
  }
  return await bringUp(node, { app, release, steps, signal })
}
