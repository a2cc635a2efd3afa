/**
 * Holders: processes without any logic that only sleep and have inherited one socket each, so that it outlives the daemon. The next daemon
 * takes copies of the sockets from them.
 */
import { spawn } from 'node:child_process'
import { cgroupPids, createCgroup, insideCgroup } from '../../linux/cgroup.ts'
import type { Descriptor } from '../../linux/ffi.ts'
import { copyDescriptor, identify, isAlive, type ProcessIdentity, sendSignal } from '../../linux/process.ts'
import { shutDown, socketCookie } from '../../linux/sockets.ts'

export interface Held {
  readonly socket: Descriptor
  readonly cookie: bigint
  readonly holder: ProcessIdentity
}

/** Where a holder has its socket: the first descriptor after the usual three. */
const heldAt = 3

/** Starts a process in the cgroup that keeps the socket. */
export function hold(socket: Descriptor, cgroup: string): Held {
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
  return { socket, cookie: socketCookie(socket), holder }
}

/** What the holders in this cgroup keep. */
export const findHeld = (cgroup: string): Held[] => cgroupPids(cgroup).flatMap((pid) => heldBy(pid) ?? [])

function heldBy(pid: number): Held | null {
  const holder = identify(pid)
  const socket = holder === null ? null : copyDescriptor(pid, heldAt)
  if (holder === null || socket === null) return null
  return { socket, cookie: socketCookie(socket), holder }
}

/** Ends the socket, for every copy of it, and its holder. What waits in it goes to its heir. */
export function letGo({ socket, holder }: Held): void {
  // A close alone ends nothing while the holder, killed a moment later, has the last copy.
  shutDown(socket)
  socket[Symbol.dispose]()
  if (isAlive(holder)) sendSignal(holder, 'SIGKILL')
}
