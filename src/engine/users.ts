/**
 * Releases of one app that run as different users. Its ports are lent to one of them at a time, the one that opens a socket next: who is being
 * brought up, else who is active. A worker of another one that is started again gets them for the moment that it needs.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { activeOf, candidateOf } from '../core/app.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { cgroupId, cgroupPids } from '../linux/cgroup.ts'
import type { User } from '../linux/users.ts'
import { inBackground, underWay } from './background.ts'
import { allRunning, keyOf, type Node, refOf } from './node.ts'

/** Lends the app's ports to whoever opens a socket next, as far as that is known. */
export function lendToNext(node: Node, name: AppName): void {
  const next = nextOwner(node, name)
  if (next !== null) lend(node, name, next)
}

/** Right before a worker is started: it may open the ports. Once it listens they go back to whoever comes next. */
export function lendToWorker(node: Node, name: AppName, release: ReleaseNumber, worker: number): void {
  const { owner, config } = node.store.apps.config(name, release)
  lend(node, name, owner)
  if (nextOwner(node, name)?.uid === owner.uid) return
  void inBackground(node, `lend ${keyOf(name, release)}/w${worker}`, async () => {
    const ports = config.ports.map(({ port }) => port)
    await untilListening(node, name, release, `${node.cgroup}/${keyOf(name, release)}/w${worker}`, ports)
    if (node.store.apps.find(name) !== null) lendToNext(node, name)
  })
}

/** Resolves when no worker of another release is about to open a port that was lent to it. */
export const untilGivenBack = async (node: Node, name: AppName): Promise<void> =>
  void (await Promise.all(underWay(node, ['lend'], name)))

/** What has to be known by whoever brings up a release of another user than those that run; null where there are none. */
export function severalUsers(node: Node, name: AppName, { uid, name: user }: User): string | null {
  const other = allRunning(node, name).find(({ owner }) => owner.uid !== uid)
  if (other === undefined) return null
  return (
    `${named(other.release)} runs as ${other.owner.name}, and this release as ${user}: as long as both run, workers that cutover starts again ` +
    `get the port, but a process of ${named(other.release)} that opens it anew by itself finds it in use (EADDRINUSE)`
  )
}

function nextOwner(node: Node, name: AppName): User | null {
  const state = node.store.apps.state(name)
  const candidate = candidateOf(state)
  const next = candidate === null || candidate.state === 'staged' ? activeOf(state) : candidate
  return next === null ? null : node.store.apps.config(name, next.number).owner
}

function lend(node: Node, name: AppName, { uid }: User): void {
  const uids = new Set(node.store.apps.uids(name))
  if (uids.size <= 1) return
  const alike = allRunning(node, name).every(({ owner }) => owner.uid === uid)
  node.steering().lend(node.store.apps.get(name).slot, { to: uid, from: alike ? uids : null })
}

const lookMs = 20
const longestMs = 10_000
/** A worker opens its ports together, or nearly so: those that nobody declared come within this. */
const besidesMs = 500

/** Resolves when the worker listens on these ports, when it has ended, or when it took too long. */
async function untilListening(
  node: Node,
  name: AppName,
  release: ReleaseNumber,
  cgroup: string,
  ports: readonly number[],
): Promise<void> {
  const deadline = performance.now() + longestMs
  let began = false
  while (performance.now() < deadline) {
    await sleep(lookMs, undefined, { signal: node.closing })
    const runs = cgroupPids(cgroup).length > 0
    const app = node.store.apps.find(name)
    if (app === null || (began && !runs)) return
    began ||= runs
    if (!runs) continue
    const id = cgroupId(cgroup)
    const listeners = node.steering().listeners(refOf(app, release))
    if (!ports.every((port) => listeners.some((one) => one.port === port && one.worker === id))) continue
    await sleep(besidesMs, undefined, { signal: node.closing })
    return
  }
}
