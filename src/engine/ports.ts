/** Who has a port: other apps of this node, and programs that Cutover knows nothing of. */
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isAnyAddress, plainAddress } from '../core/address.ts'
import { activeOf } from '../core/app.ts'
import type { AppConfig } from '../core/app-config.ts'
import type { Problem } from '../core/config.ts'
import { failure, refusal } from '../core/errors.ts'
import { isAtRest, isCandidate } from '../core/states.ts'
import type { AppName, Pid, PortSpec } from '../core/words.ts'
import { cgroupOf } from '../linux/cgroup.ts'
import { isCgroup } from '../linux/enclosure.ts'
import { markedName } from '../linux/marks.ts'
import { processName, socketInodes } from '../linux/proc.ts'
import { holdersOf, listenersOn, type TcpSocket } from '../linux/sock-diag.ts'
import type { Listener } from '../strategies/steering.ts'
import { cgroupsOf } from './connections.ts'
import { allRunning, type Node } from './node.ts'

/** One port belongs to one app: what is wrong with a config that wants another's, or null. */
export function claimedPort(node: Node, { app, ports }: AppConfig): Problem | null {
  for (const other of node.store.apps.list()) {
    if (other.name === app) continue
    const claimed = presentPorts(node, other.name)
    const index = ports.findIndex(({ port }) => claimed.has(port))
    const port = ports[index]?.port
    // `port: 8080` is found as well: the place of what is not written is the place around it.
    const path = ports.length === 1 ? ['port'] : ['ports', index, 'port']
    if (port !== undefined) return { path, message: `${port} belongs to the app ${other.name} of this node` }
  }
  return null
}

/** The declared ports of the app's present releases: live, left or being ended. */
export function presentPorts(node: Node, app: AppName): Set<number> {
  const state = node.store.apps.state(app)
  const live = state.releases.filter(({ state }) => !isAtRest(state) && !isCandidate(state))
  return new Set(live.flatMap(({ number }) => node.store.apps.config(app, number).config.ports.map(({ port }) => port)))
}

/**
 * Before anything starts: nobody but Cutover may listen on the port at every address, not even with SO_REUSEPORT, since the app's socket
 * would then join that program's group; nor at the address at which the app is to be reached by its config.
 * @throws CutoverError `refused` with the program's name and pid
 */
export async function requireFree(node: Node, { app, ports }: AppConfig): Promise<void> {
  const declared = ports.flatMap(wish)
  const numbers = ports.map(({ port }) => port)
  const held = (await lastingForeigners(node, app, numbers)).filter(
    (socket) => isAnyAddress(socket.localAddress) || declared.some((own) => overlap(own, socket)),
  )
  if (held.length > 0) throw refusal(heldBy(node, app, held))
}

/**
 * Once the candidate listens: nobody else may listen where it does, or where it is to be reached. A program at another address of the port is
 * not touched.
 * @throws CutoverError `failed` with the program's name and pid
 */
export async function requireNoOverlap(
  node: Node,
  app: AppName,
  config: AppConfig,
  listeners: readonly Listener[],
): Promise<void> {
  const all = [...listeners, ...config.ports.flatMap(wish)]
  const ports = [...new Set(all.map(({ port }) => port))]
  const held = (await lastingForeigners(node, app, ports)).filter((socket) => all.some((own) => overlap(own, socket)))
  if (held.length > 0) throw failure(heldBy(node, app, held))
}

/** What else listens on these ports, as the end of a sentence: an app that found its address taken may end without naming it. */
export function alsoListening(node: Node, app: AppName, ports: readonly number[]): string {
  const others = foreigners(node, app, ports).map(
    (socket) => `${holderName(node, socket)} listens on ${socket.localAddress}, port ${socket.localPort}`,
  )
  return others.length === 0 ? '' : `; ${others.join('; ')}`
}

/** Somebody who listens on a port of an app. */
export interface PortHolder {
  /** As in `shop v3 (pid 4711)`. */
  readonly holder: string
  readonly address: string
  readonly port: number
  /** The app's, somebody's whom it does not meet, or somebody's who stands where the app is reached. */
  readonly whose: 'own' | 'other' | 'in the way'
}

/** Who has the ports of an app that is live, or stopped: its releases, Cutover for it, and others. */
export async function portHolders(node: Node, app: AppName): Promise<PortHolder[]> {
  const ports = [...presentPorts(node, app)]
  const foreign = new Set((await lastingForeigners(node, app, ports)).map(({ cookie }) => cookie))
  const all = listenersOn(ports)
  const own = all.filter(({ cookie }) => !foreign.has(cookie)).map(standingOf)
  const isInTheWay = (socket: TcpSocket) => isAnyAddress(socket.localAddress) || own.some((one) => overlap(one, socket))
  return all.map((socket) => ({
    holder: holderName(node, socket),
    address: socket.localAddress,
    port: socket.localPort,
    whose: !foreign.has(socket.cookie) ? 'own' : isInTheWay(socket) ? 'in the way' : 'other',
  }))
}

const looks = 3
const betweenLooksMs = 10

/**
 * Those that are found again and again. Two lists are compared, and a release that ends at this moment takes its listeners out of them one
 * after the other: for a moment they look like somebody else's.
 */
async function lastingForeigners(node: Node, app: AppName, ports: readonly number[]): Promise<TcpSocket[]> {
  let found = foreigners(node, app, ports)
  for (let look = 1; look < looks && found.length > 0; look++) {
    await sleep(betweenLooksMs)
    const again = new Set(foreigners(node, app, ports).map(({ cookie }) => cookie))
    found = found.filter(({ cookie }) => again.has(cookie))
  }
  return found
}

/** Listeners on these ports that are neither a release's of this app nor a park socket. */
function foreigners(node: Node, app: AppName, ports: readonly number[]): TcpSocket[] {
  const all = listenersOn(ports)
  const slot = node.store.apps.find(app)?.slot
  if (all.length === 0 || slot === undefined) return all
  // Without them nothing of it is in the kernel, which need not be asked then.
  if (allRunning(node, app).length === 0 && activeOf(node.store.apps.state(app)) === null) return all
  const steering = node.steering()
  const own = new Set(
    steering
      .releases()
      .filter(({ app }) => app === slot)
      .flatMap((ref) => steering.listeners(ref))
      .concat(steering.listeners({ app: slot, release: 0 }))
      .map(({ cookie }) => cookie),
  )
  // Its listeners beyond the last place, which the steering does not know.
  const cgroups = new Set(allRunning(node, app).flatMap((running) => [...cgroupsOf(running)]))
  const inodes = new Set(
    allRunning(node, app).flatMap(({ cgroup, instance }) =>
      isCgroup(cgroup) ? [] : instance.pids().flatMap(socketInodes),
    ),
  )
  return all.filter(
    ({ cookie, cgroupId, inode }) =>
      !own.has(cookie) && !inodes.has(inode) && !(cgroupId !== null && cgroups.has(cgroupId)),
  )
}

type Reach = Pick<Listener, 'port' | 'family' | 'address' | 'v6only'>

/** The address that the config declares, as if the app listened there itself. */
const wish = ({ port, address }: PortSpec): Reach[] =>
  address === null ? [] : [{ port, family: address.includes(':') ? 'ipv6' : 'ipv4', address, v6only: false }]

const standingOf = ({ localPort, localAddress, family, v6only }: TcpSocket): Reach => ({
  port: localPort,
  address: localAddress,
  family,
  v6only,
})

function overlap(own: Reach, other: TcpSocket): boolean {
  if (own.port !== other.localPort) return false
  const sameFamily = own.family === other.family
  if (!sameFamily && (own.v6only || other.v6only)) return false
  const [a, b] = [plainAddress(own.address), plainAddress(other.localAddress)]
  return isAnyAddress(a) || isAnyAddress(b) || a === b
}

function heldBy(node: Node, app: AppName, sockets: readonly TcpSocket[]): string {
  const named = sockets.map((socket) => ({ socket, holder: holderName(node, socket) }))
  // Another Cutover has a port twice: its app listens there, and its holder keeps it.
  const one = named.find(({ holder }) => !holder.startsWith(keeper)) ?? named[0]
  return (
    `Port ${one?.socket.localPort} is held by ${one?.holder}, which listens on ${one?.socket.localAddress}. ` +
    `It was left alone, and ${app} was not started. End that program, or give ${app} another port.`
  )
}

/** How the cgroups of a home's apps and holders are named. */
const cgroupsOfHomes = /^\/(cutover-[0-9a-f]{8})\/(?:([a-z0-9-]+)\.(v\d+)|holders|places)/
const keeper = 'a holder'

/** As a path in the hierarchy of cgroups. */
function enclosureOf(pid: Pid): string {
  const mark = markedName(pid)
  return mark === null ? cgroupOf(pid) : `/${mark}`
}

function holderName(node: Node, { inode }: TcpSocket): string {
  const pids = holdersOf(inode)
  for (const pid of pids) {
    const [, home, app, release] = cgroupsOfHomes.exec(enclosureOf(pid)) ?? []
    if (home === undefined) continue
    const who = app === undefined ? keeper : `${app} ${release}`
    return home === basename(node.cgroup)
      ? `${who} (pid ${pid})`
      : `${who} of another CUTOVER_HOME (cgroup ${home}, pid ${pid})`
  }
  const [pid] = pids
  // Anybody may name a program as they like, over several lines too.
  return pid === undefined ? 'another program' : `${processName(pid)?.replaceAll(/\p{C}/gu, '?')} (pid ${pid})`
}
