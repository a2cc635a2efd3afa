/**
 * Clients that wait: while the active release does not listen the kernel parks new connections for `hold`, by itself. This hands them on as
 * soon as it listens again; those for whom it took too long are closed, and counted.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { activeOf } from '../core/app.ts'
import { type AppName, named } from '../core/words.ts'
import { inBackground } from './background.ts'
import { triedAtOnce } from './clean-up.ts'
import { listensEverywhere } from './listening.ts'
import { type Node, runningOf } from './node.ts'

const shortestLookMs = 20
const longestLookMs = 50
/** After a look that failed. */
const againMs = 500

/** Nobody is told when the kernel parks a connection; a counter in its map says so, which takes a microsecond to read. */
const counterLookMs = 200

/** Looks after whoever is parked, on any app, until it is disposed. */
export function watchParked(node: Node): Disposable {
  let seen = 0
  const look = () => {
    const steering = node.openedSteer()
    const parked = steering?.counters(['parked']).parked ?? 0
    if (steering === null || parked === seen) return
    for (const { name, slot } of node.store.apps.list()) if (steering.parked(slot) > 0) void handOnWhatWaits(node, name)
    seen = parked
  }
  const timer = setInterval(() => triedAtOnce(node, 'look for clients that wait', look), counterLookMs).unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

/** Resolves when the active release listens on all its ports, which are held, and nobody waits; or when the app does not run by its user's wish. */
export const handOnWhatWaits = (node: Node, app: AppName): Promise<void> =>
  inBackground(node, `hold ${app}.`, () => handOn(node, app))

async function handOn(node: Node, name: AppName): Promise<void> {
  let whole = true
  for (let looks = 1; !node.closing.aborted; looks++) {
    let over = false
    const look = () => {
      // What failed half way may have left an address that nobody holds.
      const slot = whole ? undefined : node.store.apps.find(name)?.slot
      if (slot !== undefined) node.steering().park(slot)
      over = isNobodyLeft(node, name)
    }
    whole = triedAtOnce(node, `look after the clients that wait for ${name}`, look)
    if (over) return
    await sleep(whole ? Math.min(shortestLookMs * looks, longestLookMs) : againMs, undefined, { signal: node.closing })
  }
}

/** Hands on what can be, and closes what has waited too long. True when there is nothing more to look after. */
function isNobodyLeft(node: Node, name: AppName): boolean {
  const app = node.store.apps.find(name)
  const state = app === null ? null : node.store.apps.state(name)
  const active = state === null ? null : activeOf(state)
  if (app === null || active === null || state?.stopped) return true
  const steering = node.steering()
  const running = runningOf(node, name, active.number)
  const waited = running === null ? 0 : steering.unpark(app.slot)
  if (waited > 0) {
    const text = `${waited} connections had waited for ${name} ${named(active.number)}`
    node.store.events.add('handed-on', text, name, active.number)
  }
  if (running !== null && listensEverywhere(node, running) && steering.parked(app.slot) === 0) {
    // It may listen where nobody holds: its holder was killed, or it was not up yet when a daemon looked last.
    steering.park(app.slot)
    return true
  }
  const closed = steering.closeParked(app.slot)
  if (closed > 0) {
    const text = `${closed} connections had waited longer than hold and were closed`
    node.store.events.add('held-too-long', text, name, active.number)
    node.store.operations.note(name, 'worker', active.number, 'failed', text)
  }
  return false
}
