/**
 * Processes that may not be ours to wait for: known by pid **and** start time, watched and signalled through a pidfd, so that a pid
 * which was given to another process meanwhile is never taken for the old one. See pidfd_open(2), Linux 5.3.
 */
import { constants } from 'node:os'
import koffi from 'koffi'
import { failure } from '../core/errors.ts'
import type { Pid } from '../core/words.ts'
import { attempt, Descriptor, SystemError } from './ffi.ts'
import { processStat } from './proc.ts'

/** One process, for as long as the machine is up. */
export interface ProcessIdentity {
  readonly pid: Pid
  /** Clock ticks since boot, field 22 of /proc/pid/stat. */
  readonly startTime: number
}

/** How a process ended: an exit code, or the signal that ended it, or both null where nobody can tell. */
export interface ExitStatus {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const unknownExit: ExitStatus = { code: null, signal: null }

/** `exited with code 1`, `was ended by SIGKILL`, `exited`. */
export const describeExit = ({ code, signal }: ExitStatus): string =>
  signal !== null ? `was ended by ${signal}` : code !== null ? `exited with code ${code}` : 'exited'

/** The identity of a process that lives or is a zombie; null if there is none of that pid. */
export function identify(pid: Pid): ProcessIdentity | null {
  const stat = processStat(pid)
  return stat && { pid, startTime: stat.startTime }
}

/** Whether that very process still runs. A zombie does not. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  const stat = processStat(pid)
  return stat !== null && stat.startTime === startTime && (!'ZX'.includes(stat.state) || stat.threads > 1)
}

/**
 * Sends the signal to that very process; false if it has gone.
 * @throws SystemError EPERM without the right to.
 */
export function sendSignal(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  using pidfd = open(identity)
  return pidfd !== null && signalThrough(pidfd, signal)
}

/** A descriptor of whatever process has this pid now (it may be a zombie), or null. */
export function openPidfd(pid: Pid): Descriptor | null {
  const fd = attempt('pidfd_open', pid, 0)
  if (fd >= 0) return new Descriptor(fd)
  const error = new SystemError('pidfd_open', -fd, `pid ${pid}`)
  // EINVAL: what has this pid now is a thread.
  if (error.code === 'ESRCH' || error.code === 'EINVAL') return null
  throw error
}

/**
 * A copy of a descriptor that the process has open; null if it has not, or has gone. pidfd_getfd(2), Linux 5.6.
 * @throws CutoverError `failed` where it is not allowed: to an ordinary user of other users' processes or, by Yama, of any but his children
 */
export function copyDescriptor(pid: Pid, fd: number): Descriptor | null {
  using pidfd = openPidfd(pid)
  if (pidfd === null) return null
  const copy = attempt('pidfd_getfd', pidfd.fd, fd, 0)
  if (copy >= 0) return new Descriptor(copy)
  const error = new SystemError('pidfd_getfd', -copy, `descriptor ${fd} of pid ${pid}`)
  if (error.code === 'EBADF' || error.code === 'ESRCH') return null
  if (error.code === 'EPERM') throw failure(notAllowed(pid), { cause: error })
  throw error
}

const notAllowed = (pid: Pid): string =>
  `The kernel does not let this daemon copy the sockets of pid ${pid}, so that it cannot take over what runs; traffic goes on. Where ` +
  '/proc/sys/kernel/yama/ptrace_scope is not 0, let root set it to 0, ask again, and set it back.'

/** Sends the signal to the process of the descriptor; false if it has ended. */
export function signalThrough(pidfd: Descriptor, signal: NodeJS.Signals): boolean {
  const result = attempt('pidfd_send_signal', pidfd.fd, constants.signals[signal], null, 0)
  if (result >= 0) return true
  const error = new SystemError('pidfd_send_signal', -result, signal)
  if (error.code === 'ESRCH') return false
  throw error
}

/** A wait that goes on until the exit came, or it is disposed. It keeps Node's loop alive. */
export interface ExitWatch extends Disposable {
  /** Lets Node end while this waits. */
  unref(): void
}

/**
 * Calls back once, from Node's own loop and never before this returns, when the process has ended, whoever's child it is. How it ended is
 * known from Linux 6.15 (PIDFD_INFO_EXIT), or while it is still a zombie; else it is {@link unknownExit}.
 */
export function watchExit(identity: ProcessIdentity, ended: (status: ExitStatus) => void): ExitWatch {
  const pidfd = open(identity)
  if (pidfd === null) {
    const soon = setImmediate(ended, unknownExit)
    return { unref: () => soon.unref(), [Symbol.dispose]: () => clearImmediate(soon) }
  }
  // A handle of libuv in the loop that Node runs anyway: no thread, no polling. Node knows nothing of its callback, and would leave promises
  // that are settled in it alone until something else happens; so the word is handed over to a turn of Node's own.
  let handingOver: NodeJS.Immediate | undefined
  const handle = koffi.node.poll(pidfd.fd, { readable: true }, () => {
    const status = exitStatus(pidfd, identity.pid)
    stop()
    handingOver = setImmediate(ended, status)
  })
  let watching = true
  const stop = () => {
    if (!watching) return
    watching = false
    handle.close()
    pidfd[Symbol.dispose]()
  }
  const dispose = () => {
    stop()
    clearImmediate(handingOver)
  }
  return { unref: () => handle.unref(), [Symbol.dispose]: dispose }
}

/** The start time is read after the pidfd was opened: if it is the right one, so is the pidfd. */
function open({ pid, startTime }: ProcessIdentity): Descriptor | null {
  const pidfd = openPidfd(pid)
  if (processStat(pid)?.startTime === startTime) return pidfd
  pidfd?.[Symbol.dispose]()
  return null
}

/** `struct pidfd_info` of linux/pidfd.h, 64 bytes: u64 mask … s32 exit_code at 60. */
const infoSize = 64
const exitWanted = 1n << 3n
/** `_IOWR(0xFF, 11, struct pidfd_info)` */
const getInfo = 0xc000ff0b + infoSize * 0x10000

function exitStatus(pidfd: Descriptor, pid: Pid): ExitStatus {
  const info = Buffer.alloc(infoSize)
  info.writeBigUInt64LE(exitWanted)
  if (attempt('ioctl', pidfd.fd, getInfo, info) >= 0 && info.readBigUInt64LE() & exitWanted)
    return fromWaitStatus(info.readInt32LE(60))
  // Nobody has reaped it yet (the kernel tells more only afterwards), or the kernel is older: a zombie's status stands in /proc.
  const stat = processStat(pid)
  return stat?.state === 'Z' ? fromWaitStatus(stat.waitStatus) : unknownExit
}

/** See wait(2): the low seven bits are the signal; without one the next byte is the exit code. */
function fromWaitStatus(status: number): ExitStatus {
  const number = status & 0x7f
  if (number === 0) return { code: (status >> 8) & 0xff, signal: null }
  const name = Object.entries(constants.signals).find(([, value]) => value === number)?.[0]
  return { code: null, signal: (name ?? 'SIGKILL') as NodeJS.Signals }
}
