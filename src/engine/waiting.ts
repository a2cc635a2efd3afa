/**
 * Clients that wait: while the active release does not listen the kernel parks new connections for `hold`, by itself. This hands them on as
 * soon as it listens again; those for whom it took too long are closed, and counted.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { activeOf } from '../core/app.ts'
import { type AppName, named } from '../core/words.ts'
import { inBackground } from './background.ts'
import { type Node, type Running, runningOf } from './node.ts'

const shortestLookMs = 20
const longestLookMs = 50

/** Nobody is told when the kernel parks a connection; a counter in its map says so, which takes a microsecond to read. */
const counterLookMs = 200

/** Looks after whoever is parked, on any app, until it is disposed. */
export function watchParked(node: Node): Disposable {
  let seen = 0
  const look = () => {
    const steering = node.openedSteering()
    const parked = steering?.counters().parked ?? 0
    if (steering === null || parked === seen) return
    seen = parked
    for (const { name, slot } of node.store.apps.list()) if (steering.parked(slot) > 0) void handOnWhatWaits(node, name)
  }
  const timer = setInterval(look, counterLookMs).unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

/** Resolves when the active release listens on all its ports and nobody waits, or when the app does not run by its user's wish. */
export const handOnWhatWaits = (node: Node, app: AppName): Promise<void> =>
  inBackground(node, `hold ${app}.`, () => handOn(node, app))

async function handOn(node: Node, name: AppName): Promise<void> {
  for (let looks = 1; !node.closing.aborted; looks++) {
    const app = node.store.apps.find(name)
    const state = app === null ? null : node.store.apps.state(name)
    const active = state === null ? null : activeOf(state)
    if (app === null || active === null || state?.stopped) return
    const steering = node.steering()
    const running = runningOf(node, name, active.number)
    const waited = running === null ? 0 : steering.unpark(app.slot)
    if (waited > 0) {
      const text = `${waited} connections had waited for ${name} ${named(active.number)}`
      node.store.events.add('handed-on', text, name, active.number)
    }
    if (running !== null && listensEverywhere(node, running) && steering.parked(app.slot) === 0) return
    const closed = steering.closeParked(app.slot)
    if (closed > 0) {
      const text = `${closed} connections had waited longer than hold and were closed`
      node.store.events.add('held-too-long', text, name, active.number)
      node.store.operations.note(name, 'worker', active.number, 'failed', text)
    }
    await sleep(Math.min(shortestLookMs * looks, longestLookMs), undefined, { signal: node.closing })
  }
}

/** Whether somebody listens for the release on each declared port. */
export function listensEverywhere(node: Node, { ref, config }: Running): boolean {
  const listeners = node.steering().listeners(ref)
  return config.ports.every(({ port }) => listeners.some((one) => one.port === port))
}
