/**
 * Where the processes of something are kept together, so that they can be found and ended whatever they do. It is known by its name: the
 * directory of a cgroup or, where none is to be had, a mark (`cutover-1f2e3d4c/shop.v3/w1`, see marks.ts).
 */
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import type { Pid } from '../core/words.ts'
import {
  cgroupId,
  cgroupIds,
  cgroupPids,
  cgroupRoot,
  createCgroup,
  insideCgroup,
  killCgroup,
  removeCgroup,
} from './cgroup.ts'
import { untilEmpty } from './cgroup-events.ts'
import { addLeader, forgetLeaders, isAnyMarked, killMarked, markedPids, markOf, untilNoneMarked } from './marks.ts'
import type { ProcessIdentity } from './process.ts'

/** A cgroup's name is a path, and a mark's is none. */
export const isCgroup = (name: string): boolean => name.startsWith('/')

/** The outermost one of this name: a cgroup for whoever may make one. */
export const enclosureNamed = (name: string): string => (mayMakeCgroups() ? join(cgroupRoot(), name) : name)

/** An ordinary user may only where a hierarchy was handed over, which would not be the root of it. */
function mayMakeCgroups(): boolean {
  if (process.geteuid?.() !== 0) return false
  try {
    accessSync(cgroupRoot(), constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Makes it and those around it; one that exists is left as it is. */
export const createEnclosure = (name: string): void => {
  if (isCgroup(name)) createCgroup(name)
}

/**
 * Runs `act`, which starts something with the environment that it gets besides its own: whatever it starts is born there. `act` must not
 * suspend.
 */
export const bornIn = <T>(name: string, act: (mark: Readonly<Record<string, string>>) => T): T =>
  isCgroup(name) ? insideCgroup(name, () => act({})) : act(markOf(name))

/** To be called with each process that was started there as the leader of a session, and with those that are known from before. */
export const isLedBy = (name: string, leader: ProcessIdentity): void => {
  if (!isCgroup(name)) addLeader(name, leader)
}

/** The processes that are there and below it; none if it does not exist. */
export const pidsIn = (name: string): Pid[] => (isCgroup(name) ? cgroupPids(name) : markedPids(name))

/** Whether any process is there. */
export const isAnyIn = (name: string): boolean => (isCgroup(name) ? cgroupPids(name).length > 0 : isAnyMarked(name))

/** The number by which the kernel knows what is there, and what is below it: of cgroups only. */
export const idOf = (name: string): bigint => (isCgroup(name) ? cgroupId(name) : 0n)
export const idsOf = (name: string): bigint[] => (isCgroup(name) ? cgroupIds(name) : [])

/** SIGKILL for every process there and below it. Processes end a moment later. */
export const killIn = (name: string): void => (isCgroup(name) ? killCgroup(name) : killMarked(name))

/** Resolves true as soon as no process is left there and below it, false when the signal aborts first. */
export const untilNoneIn = (name: string, signal: AbortSignal): Promise<boolean> =>
  isCgroup(name) ? untilEmpty(name, signal) : untilNoneMarked(name, signal)

/** Removes it and all below it. It must hold no process (EBUSY otherwise); one that does not exist is fine. */
export const removeEnclosure = (name: string): void => (isCgroup(name) ? removeCgroup(name) : forgetLeaders(name))
