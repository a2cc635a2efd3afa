/** Whom the kernel ends first when memory is used up. See proc_pid_oom_score_adj(5); fork(2) hands it on. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { Pid } from '../core/words.ts'
import { pidsIn } from './enclosure.ts'

export const oomScore = (pid: Pid | 'self' = 'self'): number =>
  Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim())

/** What this process was started with. */
export const inheritedOomScore = oomScore()

/**
 * Sets it for a process.
 * @returns false if the process has gone, or if it may not be as low as that: below what a process was started with takes CAP_SYS_RESOURCE
 */
export function setOomScore(pid: Pid | 'self', score: number): boolean {
  using file = openScore(pid)
  return file?.set(score) ?? false
}

/** A process's score, to be set as often as one likes whatever is used up meanwhile; null if it has gone or is not ours. */
function openScore(pid: Pid | 'self') {
  const fd = orRefused(() => openSync(`/proc/${pid}/oom_score_adj`, 'w'))
  if (fd === null) return null
  return {
    set: (score: number): boolean => orRefused(() => writeSync(fd, String(score))) !== null,
    [Symbol.dispose]: () => closeSync(fd),
  }
}

function orRefused<T>(act: () => T): T | null {
  try {
    return act()
  } catch (error) {
    if (error instanceof Error && 'code' in error && refusals.has(String(error.code))) return null
    throw error
  }
}

const refusals = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'EROFS'])

/** Sets it for every process that is there and below it, those too that are started meanwhile. */
export function setOomScores(enclosure: string, score: number): void {
  const done = new Set<Pid>()
  // A process that was started by one that had the old score has it too. Whoever starts them without end is not waited for.
  for (let round = 0; round < maxRounds; round++) {
    const fresh = pidsIn(enclosure).filter((pid) => !done.has(pid))
    if (fresh.length === 0) return
    for (const pid of fresh) {
      setOomScore(pid, score)
      done.add(pid)
    }
  }
}

const maxRounds = 10

/**
 * Runs `act` with this process's own score set so, and sets it back: what `act` starts is born with it, and with no right to go below it, which a
 * process would inherit as well. `act` must not suspend.
 */
export function withOomScore<T>(score: number, act: () => T): T {
  const before = oomScore()
  if (before === score) return act()
  using file = openScore('self')
  if (!file?.set(score)) return act()
  try {
    return act()
  } finally {
    file.set(before)
  }
}
