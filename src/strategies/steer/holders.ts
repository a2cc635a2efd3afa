/**
 * Holders: processes without any logic that only sleep and have inherited one socket each, so that it outlives the daemon. The next daemon
 * takes copies of the sockets from them. A holder that is killed is replaced, and costs nothing as long as the daemon has its copy.
 */
import { spawn } from 'node:child_process'
import { cgroupPids, createCgroup, insideCgroup } from '../../linux/cgroup.ts'
import type { Descriptor } from '../../linux/ffi.ts'
import {
  copyDescriptor,
  type ExitWatch,
  identify,
  isAlive,
  type ProcessIdentity,
  sendSignal,
  watchExit,
} from '../../linux/process.ts'
import { shutDown, socketCookie } from '../../linux/sockets.ts'

/** Disposing it closes this process's copy; the holder keeps the socket. */
export interface Held extends Disposable {
  readonly socket: Descriptor
  readonly cookie: bigint
  /** Ends the socket, for every copy of it, and its holder. What waits in it goes to its heir. */
  letGo(): void
}

/** Where a holder has its socket: the first descriptor after the usual three. */
const heldAt = 3

/** Starts a process in the cgroup that keeps the socket. The socket is this one's to close from then on. */
export const hold = (socket: Descriptor, cgroup: string): Held => keep(socket, startHolder(socket, cgroup), cgroup)

/** What the holders in this cgroup keep. */
export const findHeld = (cgroup: string): Held[] =>
  cgroupPids(cgroup).flatMap((pid) => {
    const holder = identify(pid)
    const socket = holder === null ? null : copyDescriptor(pid, heldAt)
    return holder === null || socket === null ? [] : [keep(socket, holder, cgroup)]
  })

function keep(socket: Descriptor, first: ProcessIdentity, cgroup: string): Held {
  let holder = first
  let watch: ExitWatch
  let again: NodeJS.Timeout | undefined
  const replace = () => {
    try {
      holder = startHolder(socket, cgroup)
      watchHolder()
    } catch {
      // There may be too many processes now. Nothing is lost as long as this process lives.
      again = setTimeout(replace, againMs).unref()
    }
  }
  const watchHolder = () => {
    watch = watchExit(holder, replace)
    watch.unref()
  }
  watchHolder()
  const leave = () => {
    watch[Symbol.dispose]()
    clearTimeout(again)
    socket[Symbol.dispose]()
  }
  return {
    socket,
    cookie: socketCookie(socket),
    letGo: () => {
      // A close alone ends nothing while the holder, killed a moment later, has the last copy.
      shutDown(socket)
      leave()
      if (isAlive(holder)) sendSignal(holder, 'SIGKILL')
    },
    [Symbol.dispose]: leave,
  }
}

const againMs = 1000

/** @throws Error if it could not be started */
function startHolder(socket: Descriptor, cgroup: string): ProcessIdentity {
  createCgroup(cgroup)
  const child = insideCgroup(cgroup, () =>
    spawn('sleep', ['infinity'], {
      cwd: '/',
      detached: true,
      env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
      stdio: ['ignore', 'ignore', 'ignore', socket.fd],
    }),
  )
  child.unref()
  // Without a pid it did not start, which is told below.
  child.on('error', () => {})
  const holder = child.pid === undefined ? null : identify(child.pid)
  if (holder === null) throw new Error('sleep (coreutils) could not be started to hold the port')
  return holder
}
