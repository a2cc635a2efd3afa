/**
 * Releases of one app that run as different users. Its ports are lent to one of them at a time, the one that opens a socket next: who is being
 * brought up, else who is active. A worker that is started, of whatever release, borrows them until it listens. Those of different users wait
 * for one another: one that is still to be started is started later, one that was started and has not got so far is frozen where the active
 * release must not wait for it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { activeOf, candidateOf } from '../core/app.ts'
import { failure } from '../core/errors.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { untilFrozen } from '../linux/cgroup-events.ts'
import { idOf, pidsIn } from '../linux/enclosure.ts'
import type { User } from '../linux/users.ts'
import { inBackground } from './background.ts'
import { triedAtOnce } from './clean-up.ts'
import { allRunning, keyOf, type Node, refOf } from './node.ts'

/** A worker that is to listen on the ports that its config declares, and does not do so yet. */
export interface Borrower {
  readonly app: AppName
  readonly release: ReleaseNumber
  /** The worker's own. */
  readonly cgroup: string
  readonly user: User
  readonly ports: readonly number[]
  /** On the clock of `performance`. A worker that takes longer than a candidate may will hardly listen any more. */
  readonly deadline: number
  state: 'reserved' | 'started' | 'frozen'
  /** When it was found to listen. */
  listensSince: number | null
}

/** Lends the app's ports to whoever opens a socket next, as far as that is known. Who has borrowed them keeps them. */
export function lendToNext(node: Node, name: AppName): void {
  const next = nextOwner(node, name)
  if (next !== null && borrowersOf(node, name).length === 0) lend(node, name, next)
}

/**
 * Right before a worker is started: resolves when it may open the ports. Once it listens, or has ended, they go to whoever comes next.
 * Rejects if the signal aborts first.
 */
export async function lendToWorker(
  node: Node,
  name: AppName,
  release: ReleaseNumber,
  worker: number,
  signal: AbortSignal,
): Promise<void> {
  const { owner, config } = node.store.apps.config(name, release)
  const cgroup = `${node.cgroup}/${keyOf(name, release)}/w${worker}`
  // The one in whose place it comes.
  forget(
    node,
    node.borrowers.filter((one) => one.cgroup === cgroup),
  )
  if (isAlone(node, name, owner)) {
    lend(node, name, owner)
    return
  }
  await untilTurn(node, name, release, signal)
  const ports = config.ports.map(({ port }) => port)
  const deadline = performance.now() + config.deployTimeoutMs
  const own: Borrower = {
    app: name,
    release,
    cgroup,
    user: owner,
    ports,
    deadline,
    state: 'reserved',
    listensSince: null,
  }
  const others = foreign(node, name, owner)
  // Only the active release finds others here: it goes first.
  if (others.length > 0) node.borrowers.unshift(own)
  else node.borrowers.push(own)
  try {
    if (others.length > 0) await freeze(node, others)
    signal.throwIfAborted()
    lend(node, name, owner)
    own.state = 'started'
  } catch (error) {
    forget(node, [own])
    throw error
  } finally {
    lookAfter(node, name)
  }
}

/**
 * Resolves when no worker of another user is about to open the ports. The active release does not wait.
 * @throws CutoverError `failed` if the signal aborts first
 */
export async function untilTurn(node: Node, name: AppName, release: ReleaseNumber, signal: AbortSignal): Promise<void> {
  const { owner } = node.store.apps.config(name, release)
  const isActive = () => activeOf(node.store.apps.state(name))?.number === release
  for (;;) {
    const [other] = isActive() ? [] : foreign(node, name, owner)
    if (other === undefined) return
    await sleep(lookMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) {
      const { release, user } = other
      const who = `a worker of ${named(release)}, which runs as ${user.name}`
      throw failure(`the ports were lent to ${who}, and it did not listen`, { cause: signal.reason })
    }
  }
}

/** The release is to end, or listens wherever it has to: none of its workers borrows anything, or is frozen. */
export const endLoans = (node: Node, name: AppName, release: ReleaseNumber): void =>
  forget(
    node,
    borrowersOf(node, name).filter((one) => one.release === release),
  )

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

/** Nobody of another user runs, or is about to. */
const isAlone = (node: Node, name: AppName, { uid }: User): boolean =>
  allRunning(node, name).every(({ owner }) => owner.uid === uid) &&
  (nextOwner(node, name)?.uid ?? uid) === uid &&
  foreign(node, name, { uid }).length === 0

/** In the order in which they get the ports. */
const borrowersOf = (node: Node, name: AppName): Borrower[] => node.borrowers.filter(({ app }) => app === name)

const foreign = (node: Node, name: AppName, { uid }: Pick<User, 'uid'>): Borrower[] =>
  borrowersOf(node, name).filter(({ user }) => user.uid !== uid)

const lookMs = 20
/** A worker opens its ports together, or nearly so: those that nobody declared come within this. */
const besidesMs = 500
/** A process that hangs in the kernel does not freeze, nor does it bind. */
const freezesMs = 1000

/** Looks after the borrowers of the app until there are none. */
function lookAfter(node: Node, name: AppName): void {
  const work = async () => {
    try {
      while (borrowersOf(node, name).length > 0) {
        await sleep(lookMs, undefined, { signal: node.closing })
        triedAtOnce(node, `lend the ports of ${name}`, () => look(node, name))
      }
    } finally {
      forget(node, borrowersOf(node, name))
    }
  }
  void inBackground(node, `lend ${name}.`, work).then(() => {
    // One that came while the work ended.
    if (!node.closing.aborted && borrowersOf(node, name).length > 0) lookAfter(node, name)
  })
}

function look(node: Node, name: AppName): void {
  forget(
    node,
    borrowersOf(node, name).filter((one) => isOver(node, one)),
  )
  const [next] = borrowersOf(node, name)
  if (next === undefined) {
    if (node.store.apps.find(name) !== null) lendToNext(node, name)
  } else if (next.state === 'frozen') {
    lend(node, name, next.user)
    thaw(
      node,
      borrowersOf(node, name).filter(({ user }) => user.uid === next.user.uid),
    )
  }
}

/** It listens on all its ports, has ended (or could not be started), or took too long. */
function isOver(node: Node, one: Borrower): boolean {
  if (one.state === 'reserved') return false
  const app = node.store.apps.find(one.app)
  const now = performance.now()
  if (app === null || now > one.deadline || pidsIn(one.cgroup).length === 0) return true
  const id = idOf(one.cgroup)
  const listeners = node.steering().listeners(refOf(app, one.release))
  if (!one.ports.every((port) => listeners.some((other) => other.port === port && other.worker === id))) return false
  one.listensSince ??= now
  return now - one.listensSince > besidesMs
}

function forget(node: Node, some: readonly Borrower[]): void {
  for (const one of some) {
    const at = node.borrowers.indexOf(one)
    if (at !== -1) node.borrowers.splice(at, 1)
  }
  thaw(node, some)
}

async function freeze(node: Node, some: readonly Borrower[]): Promise<void> {
  for (const one of some) {
    one.state = 'frozen'
    node.cgroups.freeze(one.cgroup)
  }
  await Promise.all(some.map(({ cgroup }) => untilFrozen(cgroup, AbortSignal.timeout(freezesMs))))
}

function thaw(node: Node, some: readonly Borrower[]): void {
  for (const one of some.filter(({ state }) => state === 'frozen')) {
    one.state = 'started'
    triedAtOnce(node, `thaw ${one.cgroup}`, () => node.cgroups.thaw(one.cgroup))
  }
}
