/** A stopped app serves again: the release that was active is started, proven, and gets the traffic. */
import { activeOf } from '../core/app.ts'
import type { Actor, Receipt } from '../core/documents.ts'
import { refusal } from '../core/errors.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { bringUp, type Proven } from './bring-up.ts'
import { cleanUp } from './clean-up.ts'
import { beginOperation, cutOverStep, endOperation } from './cutover.ts'
import type { Report } from './engine.ts'
import { explain } from './failed-message.ts'
import { type Node, now, runningOf } from './node.ts'
import { createSteps } from './steps.ts'

/**
 * Starts a stopped app.
 * @throws CutoverError `refused` if it runs; `failed` if it did not come up: it stays stopped
 */
export async function start(node: Node, app: AppName, by: Actor, report: Report): Promise<Receipt> {
  using _lock = node.locks.take(app, 'a start', by)
  const state = node.store.apps.state(app)
  const active = activeOf(state)
  if (active === null) throw refusal(`${app} has no live release: deploy it first.`)
  const { stopped } = state
  if (!stopped && runningOf(node, app, active.number) !== null)
    throw refusal(`${app} is not stopped: ${named(active.number)} is live.`)
  const { signal } = new AbortController()
  return await startActive(node, { app, release: active.number, by, report, stopped, signal })
}

export interface StartOfActive {
  readonly app: AppName
  readonly release: ReleaseNumber
  readonly by: Actor
  readonly report: Report
  /** Whether somebody had stopped it; else it merely does not run. */
  readonly stopped: boolean
  readonly signal: AbortSignal
}

/** Brings the active release up and gives it the traffic. If it does not come up, the app stays recorded as it was. */
export async function startActive(
  node: Node,
  { app, release, by, report, stopped, signal }: StartOfActive,
): Promise<Receipt> {
  const steps = createSteps(report)
  const label = activeOf(node.store.apps.state(app))?.label ?? null
  report({ type: 'release', app, release, label })
  const operation = beginOperation(node, { app, release, kind: 'start', step: 'start', by, steps })
  let live: { readonly proven: Proven; readonly us: number }
  try {
    const proven = await bringUp(node, { app, release, steps, signal })
    const { us } = await cutOverStep(node, operation, proven, stopped ? { type: 'start', at: now() } : null, signal)
    live = { proven, us }
  } catch (error) {
    // One that was not sound any more still runs.
    if (runningOf(node, app, release) !== null) await cleanUp(node, app, release, { files: false })
    const { deployTimeoutMs } = node.store.apps.config(app, release).config
    const step = steps.failed
    const explained = await explain(node, { app, release, step, error, deployTimeoutMs, aborted: null, leftOut: [] })
    node.store.operations.end(operation.id, 'failed', explained instanceof Error ? explained.message : '')
    throw explained
  }
  return endOperation(node, operation, live.proven.running, { us: live.us, readyMs: live.proven.readyMs })
}
