/** The connections that a release has, and what the kernel dropped at its listeners: both from sock_diag(7). */
import { setImmediate as afterwards, setTimeout as sleep } from 'node:timers/promises'
import { isOf, type Standing } from '../core/reach.ts'
import { idsOf } from '../linux/enclosure.ts'
import { socketInodes } from '../linux/proc.ts'
import { dumpTcp, listenersOn, type TcpSocket } from '../linux/sock-diag.ts'
import type { Listener } from '../strategies/steering.ts'
import { allRunning, type Node, type Running } from './node.ts'

/** How often a release that is being left is looked at. The kernel tells nobody when a connection of one cgroup has ended. */
const lookMs = 100
/** A look takes longer the more clients the machine has; it shall not take more of the daemon's time than one part in so many. */
const looksShare = 50

/** Every connection of this machine that somebody has open. Takes longer the more there are: one look for many questions. */
export const allConnections = (): TcpSocket[] => dumpTcp({ states: ['established', 'close-wait'] })

/** Connections that clients have with the release, those that wait to be accepted included. */
export function openConnections(node: Node, running: Running, all?: readonly TcpSocket[]): number {
  const listeners = node.steering().listeners(running.ref)
  const ports = new Set([...listeners, ...running.config.ports].map(({ port }) => port))
  // After the listeners: who is accepted in between is counted twice, and not left out.
  const sockets = (all ?? allConnections()).filter(({ localPort }) => ports.has(localPort))
  const own = cgroupsOf(running)
  const mine = sockets.filter(({ cgroupId }) => cgroupId !== null && own.has(cgroupId)).length
  const others = new Set(allRunning(node, running.app).flatMap((one) => [...cgroupsOf(one)]))
  const parked = sockets.filter(({ cgroupId }) => cgroupId !== null && !others.has(cgroupId))
  return mine + heldAmong(parked, running).length + waitingAt(listeners)
}

/** A connection that waits at a place of a shared port is nobody's yet. */
const waitingAt = (listeners: readonly Listener[]): number =>
  listeners.reduce((sum, { worker, waiting }) => sum + (worker === null ? waiting : 0), 0)

/** A connection that was parked has Cutover's cgroup for ever; whose it is now, the descriptors of the processes tell. */
function heldAmong(sockets: readonly TcpSocket[], { instance }: Running): TcpSocket[] {
  if (sockets.length === 0) return []
  const inodes = new Set(instance.pids().flatMap(socketInodes))
  return sockets.filter(({ inode }) => inodes.has(inode))
}

export interface Quiet {
  /** Whether it is still to be waited for. Left out: always. */
  readonly wanted?: () => boolean
  /** Listeners of it whose handshakes nobody else can complete: those that are half done at the beginning are waited for too. */
  readonly alone?: readonly Standing[]
}

/**
 * Resolves when the release has no connection left, when the time is over, or when it is not `wanted` any more. The first look comes after
 * what is to be written now: whoever asked for the cutover gets the answer first.
 * @returns the connections that it has then; 0 if it is not wanted
 */
export async function untilQuiet(
  node: Node,
  running: Running,
  patienceMs: number,
  { wanted = () => true, alone = [] }: Quiet = {},
): Promise<number> {
  const deadline = performance.now() + patienceMs
  await afterwards(undefined, { signal: node.closing })
  let halfDone = handshakesAt(alone)
  for (;;) {
    if (!wanted()) return 0
    const began = performance.now()
    // Before the connections: one of these becomes one of those.
    if (halfDone.size > 0) halfDone = halfDone.intersection(handshakesAt(alone))
    const open = openConnections(node, running)
    const now = performance.now()
    if ((open === 0 && halfDone.size === 0) || now >= deadline) return open
    await sleep(Math.max(lookMs, (now - began) * looksShare), undefined, { signal: node.closing })
  }
}

/**
 * The cookies of the handshakes that are half done at listeners like these. The kernel does not tell whose they are: others that listen over
 * the same address, as on `0.0.0.0` beside `127.0.0.1`, may have some of them.
 */
function handshakesAt(standings: readonly Standing[]): Set<bigint> {
  const ports = [...new Set(standings.map(({ port }) => port))]
  const half = ports.flatMap((port) => dumpTcp({ states: ['syn-received'], port }))
  const own = half.filter(({ localPort, localAddress, family }) =>
    standings.some((one) => isOf(one, { port: localPort, address: localAddress, family })),
  )
  return new Set(own.map(({ cookie }) => cookie))
}

/** Drops at each listener of the ports, by the socket's cookie: `SK_MEMINFO_DROPS`. */
export type Drops = ReadonlyMap<bigint, number>

export const dropsAt = (ports: readonly number[]): Drops =>
  new Map(listenersOn(ports).map(({ cookie, drops }) => [cookie, drops]))

/** What was dropped between the two looks; a listener that is new began at zero. */
export function droppedSince(before: Drops, after: Drops): number {
  let dropped = 0
  for (const [cookie, drops] of after) dropped += drops - (before.get(cookie) ?? 0)
  return dropped
}

/** Sockets belong to the cgroup of the process that made them: a worker's. */
export const cgroupsOf = ({ cgroup }: Running): Set<bigint> => new Set(idsOf(cgroup))
