/** Where a release is reached, and what its listeners cannot have: said in the receipt, in `status` and among the events. */
import { activeOf } from '../core/app.ts'
import type { AppConfig } from '../core/app-config.ts'
import { failure } from '../core/errors.ts'
import { notShared, type Standing, standingText, unmovable, unserved } from '../core/reach.ts'
import { inherits } from '../core/strategy.ts'
import { named } from '../core/words.ts'
import { isInOtherNetwork, portsListenedOnBeside } from '../linux/proc.ts'
import { listenersOn } from '../linux/sock-diag.ts'
import { maxListeners } from '../strategies/steer/layout.ts'
import type { Listener } from '../strategies/steering.ts'
import { cgroupsOf } from './connections.ts'
import type { Node, Running } from './node.ts'

/**
 * Before the release goes live: somebody must be able to reach it at each address that its config declares.
 * @throws CutoverError `failed` naming the address
 */
export function requireServed({ ports }: AppConfig, listeners: readonly Listener[]): void {
  const nobody = unserved(ports, listeners).find(({ entirely }) => entirely)
  if (nobody !== undefined) throw failure(nobody.text)
}

/**
 * A socket of another network namespace (of a container with a network of its own, of `ip netns exec`) is out of reach for what steers this one.
 * @throws CutoverError `failed` naming the process that listens there on one of the ports
 */
export function requireOwnNetwork({ instance }: Running, ports: readonly number[]): void {
  for (const pid of instance.pids().filter(isInOtherNetwork)) {
    const there = portsListenedOnBeside(pid)
    const port = ports.find((one) => there.has(one))
    if (port !== undefined)
      throw failure(
        `pid ${pid} listens on port ${port} in a network namespace of its own, where no client of this machine gets. Run it in the ` +
          "machine's own network (a container: --network=host)",
      )
  }
}

/** Once it is live: whom it cannot serve, and whose queues could not move to it. */
export function reachWarnings(node: Node, running: Running, left: Running | null): string[] {
  const steering = node.steering()
  const listeners = steering.listeners(running.ref)
  const whom = unserved(running.config.ports, listeners).map(({ text }) => text)
  const behind = left === null ? [] : unmovable(steering.listeners(left.ref), listeners)
  const out = leftOut(node, running)
  return [...whom, ...(left === null || behind.length === 0 ? [] : [staysText(left, behind, running)]), ...out]
}

function staysText(left: Running, behind: readonly Standing[], { release }: Running): string {
  const former = named(left.release)
  return (
    `connections that wait in the queue of ${former} at ${standingText(behind)} could not move to ${named(release)}, which does not listen ` +
    `at the same address: ${former} answers them, and those whose handshake is half done, before it ends, for drain_timeout at most. Of a client ` +
    'that was sent a SYN cookie, as is done while a queue is full, the kernel remembers nothing: it is reset'
  )
}

/** Where a release that is left listens and the active one does not: what waits there has no heir. */
export function withoutHeir(node: Node, { app, ref }: Running): Standing[] {
  const state = node.store.apps.state(app)
  const active = activeOf(state)
  // Of a stopped app clients are refused.
  if (state.stopped || active === null) return []
  const steering = node.steering()
  if (!steering.hasHeirs(ref.app)) return steering.listeners(ref)
  return notShared(steering.listeners(ref), steering.listeners({ app: ref.app, release: active.number }))
}

/** Listeners of the release that the kernel has and that get no connections, since it has more than there are places. */
export function leftOut(node: Node, running: Running): string[] {
  if (inherits(running.config)) return []
  const before = node.steering().listeners(running.ref)
  const ports = [...new Set([...before, ...running.config.ports].map(({ port }) => port))]
  const own = cgroupsOf(running)
  const found = listenersOn(ports).filter(({ cgroupId }) => cgroupId !== null && own.has(cgroupId))
  // After the list: a socket listens a moment before it takes its place.
  const placed = new Set(
    node
      .steering()
      .listeners(running.ref)
      .map(({ cookie }) => cookie),
  )
  return ports.flatMap((port) => {
    const out = found.filter((one) => one.localPort === port && !placed.has(one.cookie)).length
    if (out === 0) return []
    return [
      `${out} of its listeners on port ${port} get no connections: a release can have ${maxListeners} on one port`,
    ]
  })
}
