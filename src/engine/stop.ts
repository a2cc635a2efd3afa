/** The outages that people ask for: stop, remove, and the end of everything. Each waits for requests in flight, up to `drain_timeout`. */
import { activeOf } from '../core/app.ts'
import type { Actor, Receipt } from '../core/documents.ts'
import { CutoverError, failure, refusal } from '../core/errors.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { underWay } from './background.ts'
import { tried } from './clean-up.ts'
import { untilQuiet } from './connections.ts'
import { beginOperation, type Operation, receiptOf } from './cutover.ts'
import type { Report } from './engine.ts'
import { allRunning, type Node, now, runningOf } from './node.ts'
import { endSteeringIfUnused } from './release-ports.ts'
import { retire, retirements } from './settle.ts'
import { createSteps, type Steps } from './steps.ts'
import { takeDown } from './take-down.ts'

/**
 * Ends every process of the app. Its ports stay reserved, and clients are refused.
 * @throws CutoverError `refused` if there is nothing to stop
 */
export async function stop(node: Node, app: AppName, by: Actor, report: Report): Promise<Receipt> {
  using _lock = node.locks.take(app, 'a stop', by)
  const state = node.store.apps.state(app)
  const active = activeOf(state)
  if (active === null) throw refusal(`${app} has no live release: there is nothing to stop.`)
  if (state.stopped && allRunning(node, app).length === 0)
    throw refusal(`${app} is stopped already. To start it again: cutover start ${app}`)
  const steps = createSteps(report)
  report({ type: 'release', app, release: active.number, label: active.label })
  const operation = beginOperation(node, { app, release: active.number, kind: 'stop', step: 'stop', by, steps })
  return await completeStop(node, app, operation)
}

/** A stop that was written down, to its end. What a daemon before this one did of it is done again without harm. */
export async function completeStop(node: Node, app: AppName, operation: Operation): Promise<Receipt> {
  const release = activeOf(node.store.apps.state(app))?.number ?? 0
  const cut = await ended(node, app, operation)
  const receipt = withCut(receiptOf(node, operation, app, release, null), cut)
  node.store.operations.end(operation.id, 'done', `${app} ${named(release)} is stopped`, receipt)
  node.store.events.add('stop', `${app} is stopped; clients are refused`, app, release)
  return receipt
}

/**
 * The end of the app: its processes, its ports, its releases and logs. What is `shared` stays, and so does its history.
 * @throws CutoverError `refused` if there is no such app
 */
export async function remove(node: Node, app: AppName, by: Actor, report: Report): Promise<Receipt> {
  using _lock = node.locks.take(app, 'a remove', by)
  const state = node.store.apps.state(app)
  const release = activeOf(state)?.number ?? state.releases.at(-1)?.number ?? 0
  const steps = createSteps(report)
  report({ type: 'release', app, release, label: null })
  const operation = beginOperation(node, { app, release, kind: 'remove', step: 'stop', by, steps })
  return await completeRemove(node, app, release, operation)
}

/**
 * A remove that was written down, to its end. What a daemon before this one did of it is done again without harm: the app is known until
 * nothing of it is left.
 */
export async function completeRemove(
  node: Node,
  app: AppName,
  release: ReleaseNumber,
  operation: Operation,
): Promise<Receipt> {
  const { slot } = node.store.apps.get(app)
  const state = node.store.apps.state(app)
  const serves = activeOf(state) !== null && (!state.stopped || allRunning(node, app).length > 0)
  const cut = serves ? await ended(node, app, operation) : 0
  const receipt = withCut(receiptOf(node, operation, app, release, null), cut)
  node.store.apps.change(app, { type: 'remove', at: now() })
  node.steering().removeApp(slot)
  await Promise.all(underWay(node, ['drain', 'retire', 'prune', 'hold'], app))
  node.unwatchLogs(app)
  for (const folder of [node.home.releases(app), node.home.logs(app)])
    await tried(node, `remove ${folder}`, () => node.files.removeTree(folder))
  node.store.apps.forget(app)
  node.store.operations.end(operation.id, 'done', `${app} is removed`, receipt)
  node.store.events.add('remove', `${app} is removed; its ports are free`, app)
  endSteeringIfUnused(node)
  return receipt
}

/** Stops every app and leaves no process, pin or mount. Every app counts as stopped until it is started. */
export async function shutdown(node: Node, by: Actor): Promise<void> {
  node.shuttingDown.abort(new Error('every app ends'))
  await Promise.all(underWay(node, ['start', 'stop', 'remove', 'retire']))
  const failures: unknown[] = []
  for (const { name } of node.store.apps.list()) {
    const state = node.store.apps.state(name)
    // One that does not end must not keep the others running.
    if (activeOf(state) !== null && (!state.stopped || allRunning(node, name).length > 0))
      await stop(node, name, by, () => {}).catch((error: unknown) => failures.push(error))
  }
  if (failures.length > 0) throw failures[0]
  await Promise.all(underWay(node, ['drain', 'prune', 'hold']))
  node.endSteering()
}

/**
 * New connections are refused from here on; the active release ends, and with it all that stands by. The app counts as stopped.
 * @returns the connections of the active release that were cut after `drain_timeout`
 */
export async function endProcesses(node: Node, app: AppName, steps: Steps): Promise<number> {
  const { slot } = node.store.apps.get(app)
  const active = activeOf(node.store.apps.state(app))?.number ?? 0
  const { cut } = await steps.run('stop', 'requests in flight', async () => {
    if (!node.store.apps.state(app).stopped) node.store.apps.change(app, { type: 'stop', at: now() })
    node.steering().switchTo(slot, 0, { hold: false })
    node.steering().closeParked(slot)
    const pids = allRunning(node, app).flatMap(({ instance }) => instance.pids()).length
    for (const { number, state } of node.store.apps.state(app).releases) {
      if (state === 'retiring') void retire(node, app, number)
    }
    const running = runningOf(node, app, active)
    const cut = running === null ? 0 : await untilQuiet(node, running, running.config.drainTimeoutMs)
    await takeDown(node, app, active)
    await retirements(node, app)
    const left = allRunning(node, app).map(
      ({ release, instance }) => `${named(release)} (${instance.pids().join(', ')})`,
    )
    if (left.length > 0) throw failure(`processes of ${left.join(' and ')} did not end although they were killed`)
    return { cut, text: `${pids} processes ended${cut > 0 ? `, ${cut} connections cut after drain_timeout` : ''}` }
  })
  return cut
}

/** The same within an operation, which fails with it: clients stay refused, and the operation may be asked for again. */
async function ended(node: Node, app: AppName, { id, kind, steps }: Operation): Promise<number> {
  try {
    return await endProcesses(node, app, steps)
  } catch (error) {
    if (!(error instanceof CutoverError)) throw error
    const text = `The ${kind} of ${app} did not end: ${error.message.replace(/\.$/, '')}. Clients are refused; ask again once they have ended.`
    node.store.operations.end(id, 'failed', text)
    throw failure(text, { details: error.details, cause: error })
  }
}

const withCut = (receipt: Receipt, cut: number): Receipt => ({ ...receipt, lost: { ...receipt.lost, cut } })
