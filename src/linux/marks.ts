/**
 * Keeping processes together without any privilege: what is started carries a mark in its environment, and begins a session of its own. Whoever
 * has the mark or is in such a session belongs there: children inherit both. A process escapes only if it leaves its session **and** clears its
 * environment; a cgroup holds that one as well. See proc_pid_environ(5), setsid(2).
 */
import { readdirSync } from 'node:fs'
import type { Pid } from '../core/words.ts'
import { environmentOf, processStat } from './proc.ts'
import { type ExitWatch, identify, isAlive, type ProcessIdentity, sendSignal, watchExit } from './process.ts'

const variable = 'CUTOVER_ENCLOSURE'

/** The environment by which what is started belongs there. */
export const markOf = (name: string): Readonly<Record<string, string>> => ({ [variable]: name })

/** Who began the sessions that belong to a name: a program may overwrite what /proc shows of its environment, as nginx does. */
const leaders = new Map<string, ProcessIdentity[]>()

/** From now on the session that this process leads belongs there. */
export function addLeader(name: string, leader: ProcessIdentity): void {
  const known = leaders.get(name) ?? []
  if (!known.some((one) => one.pid === leader.pid && one.startTime === leader.startTime))
    leaders.set(name, [...known.filter(isSessionOf), leader])
}

/** Nothing is there any more. */
export function forgetLeaders(name: string): void {
  for (const known of leaders.keys()) if (isWithin(known, name)) leaders.delete(known)
}

/** The processes that live there and below it. */
export function markedPids(name: string): Pid[] {
  const sessions = new Set(
    [...leaders].flatMap(([known, some]) =>
      isWithin(known, name) ? some.filter(isSessionOf).map(({ pid }) => pid) : [],
    ),
  )
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry)
    return Number.isInteger(pid) && isThere(pid, name, sessions) ? [pid] : []
  })
}

/** SIGKILL for each of them, and for those that they start meanwhile. */
export function killMarked(name: string): void {
  const killed = new Set<Pid>()
  for (let round = 0; round < mostRounds; round++) {
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

function isThere(pid: Pid, name: string, sessions: ReadonlySet<Pid>): boolean {
  const stat = processStat(pid)
  if (stat === null || !isAlive({ pid, startTime: stat.startTime })) return false
  if (sessions.has(stat.session)) return true
  const mark = environmentOf(pid).find((entry) => entry.startsWith(`${variable}=`))
  return mark !== undefined && isWithin(mark.slice(variable.length + 1), name)
}

/** The mark of a process, without what is below it; null if it has none that can be seen. */
export function markedName(pid: Pid): string | null {
  const mark = environmentOf(pid).find((entry) => entry.startsWith(`${variable}=`))
  return mark === undefined ? null : mark.slice(variable.length + 1)
}
