/**
 * Keeping processes together without any privilege: what is started carries a mark in its environment, and begins a session of its own. Whoever
 * has the mark or is in such a session belongs there: children inherit both. A process escapes only if it leaves its session **and** clears its
 * environment; a cgroup holds that one as well. See proc_pid_environ(5), setsid(2).
 */
import { readdirSync } from 'node:fs'
import { uptime } from 'node:os'
import type { Pid } from '../core/words.ts'
import { environmentOf, processStat } from './proc.ts'
import { type ExitWatch, identify, isAlive, type ProcessIdentity, sendSignal, watchExit } from './process.ts'

const variable = 'CUTOVER_ENCLOSURE'

/** The environment by which what is started belongs there. */
export const markOf = (name: string): Readonly<Record<string, string>> => ({ [variable]: name })

/** Who began the sessions that belong to a name: a program may overwrite what /proc shows of its environment, as nginx does. */
const leaders = new Map<string, Leader[]>()

interface Leader extends ProcessIdentity {
  /** Since when no process of its session was seen, on the clock of `performance`. */
  emptySince: number | null
}

/** From now on the session that this process leads belongs there. */
export function addLeader(name: string, leader: ProcessIdentity): void {
  lookAnew()
  const known = leaders.get(name) ?? []
  if (!known.some((one) => one.pid === leader.pid && one.startTime === leader.startTime))
    leaders.set(name, [...known.filter(isSessionOf), { ...leader, emptySince: null }])
}

/** Nothing is there any more. */
export function forgetLeaders(name: string): void {
  for (const known of leaders.keys()) if (isWithin(known, name)) leaders.delete(known)
}

/** The processes that live there and below it. */
export function markedPids(name: string): Pid[] {
  forgetEndedSessions()
  const sessions = new Set(
    [...leaders].flatMap(([known, some]) =>
      isWithin(known, name) ? some.filter(isSessionOf).map(({ pid }) => pid) : [],
    ),
  )
  return lookAround().flatMap(({ pid, session, mark }) =>
    sessions.has(session) || (mark !== null && isWithin(mark, name)) ? [pid] : [],
  )
}

interface Seen {
  readonly pid: Pid
  readonly session: Pid
  readonly mark: string | null
}

let seen: readonly Seen[] | null = null

/**
 * A session without a process is over, and its number may be somebody else's some day. One look is no proof: a process that forks and exits in
 * the midst of it is seen no more, and its child not yet.
 */
function forgetEndedSessions(): void {
  const living = new Set(lookAround().map(({ session }) => session))
  const now = performance.now()
  for (const [name, some] of leaders) {
    for (const leader of some) leader.emptySince = living.has(leader.pid) ? null : (leader.emptySince ?? now)
    leaders.set(
      name,
      some.filter(({ emptySince }) => emptySince === null || now - emptySince < provenMs),
    )
  }
}

/** Far more than a look takes, and less than all pids of a machine. */
const provenMs = 2000

/** Every process of the machine that is not dead. One look, which reads all of /proc, serves for as long as this program does not wait for anything. */
function lookAround(): readonly Seen[] {
  if (seen === null) {
    seen = readdirSync('/proc').flatMap(seenAs)
    setImmediate(lookAnew).unref()
  }
  return seen
}

function lookAnew(): void {
  seen = null
}

function seenAs(entry: string): Seen[] {
  const pid = Number(entry)
  const stat = Number.isInteger(pid) ? processStat(pid) : null
  // A thread of the kernel has no session; a zombie is there no longer.
  if (stat === null || stat.session === 0 || ('ZX'.includes(stat.state) && stat.threads <= 1)) return []
  return [{ pid, session: stat.session, mark: markOfProcess({ pid, startTime: stat.startTime }) }]
}

/** Whether anything lives there: told without a look at all processes where one that began a session does. */
export const isAnyMarked = (name: string): boolean =>
  [...leaders].some(([known, some]) => isWithin(known, name) && some.some(isAlive)) || markedPids(name).length > 0

/** SIGKILL for each of them, and for those that they start meanwhile. */
export function killMarked(name: string): void {
  const killed = new Set<Pid>()
  for (let round = 0; round < mostRounds; round++) {
    lookAnew()
    const fresh = markedPids(name).filter((pid) => !killed.has(pid))
    if (fresh.length === 0) return
    for (const pid of fresh) {
      const found = identify(pid)
      if (found !== null) sendSignal(found, 'SIGKILL')
      killed.add(pid)
    }
  }
}

const mostRounds = 100

/** Resolves true as soon as no process is left there, false when the signal aborts first. The end of each process is told, nothing is polled. */
export async function untilNoneMarked(name: string, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    lookAnew()
    const pids = markedPids(name)
    if (pids.length === 0) return true
    if (signal.aborted) return false
    await untilOneEnds(pids, signal)
  }
}

async function untilOneEnds(pids: readonly Pid[], signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const ended = () => resolve()
  const watches: ExitWatch[] = pids.flatMap((pid) => {
    const found = identify(pid)
    return found === null ? [] : [watchExit(found, ended)]
  })
  if (watches.length < pids.length) ended()
  signal.addEventListener('abort', ended)
  await promise
  signal.removeEventListener('abort', ended)
  for (const watch of watches) watch[Symbol.dispose]()
}

const isWithin = (name: string, outer: string): boolean => name === outer || name.startsWith(`${outer}/`)

/** The session of a leader that has ended lives on with its members, and its number is nobody else's meanwhile. */
function isSessionOf(leader: ProcessIdentity): boolean {
  const stat = processStat(leader.pid)
  return stat === null || stat.startTime === leader.startTime
}

/** Processes without a mark, by pid, with their start time: most of a machine's, and reading an environment costs more than all else. */
const unmarked = new Map<Pid, number>()
const mostUnmarked = 100_000

/** A child has the environment of its parent until it becomes a program of its own. */
const settlesMs = 5000

function markOfProcess({ pid, startTime }: ProcessIdentity): string | null {
  if (unmarked.get(pid) === startTime) return null
  const mark = markedName(pid)
  if (mark === null && uptimeMs() - startTime * tickMs > settlesMs) {
    if (unmarked.size > mostUnmarked) unmarked.clear()
    unmarked.set(pid, startTime)
  }
  return mark
}

/** A clock tick of the kernel is a hundredth of a second for programs, on every machine. See USER_HZ. */
const tickMs = 10
const uptimeMs = (): number => uptime() * 1000

/** The mark of a process, without what is below it; null if it has none that can be seen. */
export function markedName(pid: Pid): string | null {
  const mark = environmentOf(pid).find((entry) => entry.startsWith(`${variable}=`))
  return mark === undefined ? null : mark.slice(variable.length + 1)
}
