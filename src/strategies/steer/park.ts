/**
 * The sockets that hold an app's ports: `ss` shows them, nobody takes the port by accident, and connections that nothing can serve wait in
 * them. Each is kept by a holder, a process that only sleeps and has inherited it, so that it outlives the daemon.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { AppId } from '../../core/words.ts'
import type { KernelObject } from '../../linux/bpf.ts'
import { cgroupPids, createCgroup, insideCgroup } from '../../linux/cgroup.ts'
import { attempt, Descriptor } from '../../linux/ffi.ts'
import { identify, isAlive, openPidfd, type ProcessIdentity, sendSignal } from '../../linux/process.ts'
import {
  attachGroupProgram,
  bind,
  bindToInterface,
  closeOneWaiting,
  giveTo,
  listen,
  setV6Only,
  sharePort,
  shutDown,
  socketCookie,
  tcpSocket,
} from '../../linux/sockets.ts'
import type { Maps } from './kernel.ts'
import { maxListeners, placeKey, u32, u64 } from './layout.ts'
import { type Listener, listenersFor, placesOf } from './listeners.ts'

/** Connections that may wait at one address; `net.core.somaxconn` may allow fewer. */
const backlog = 4096
/** Where a holder has its socket: the first descriptor after the usual three. */
const heldAt = 3

interface Held {
  readonly socket: Descriptor
  readonly cookie: bigint
  readonly holder: ProcessIdentity
}

export interface Parks {
  /** Holds the address of this listener for the app, in one group with it. */
  hold(app: AppId, listener: Listener): void
  /** Lets the group of this listener have the program, without holding its address. */
  join(listener: Listener): void
  /** The app's park sockets. */
  of(app: AppId): Listener[]
  /** Ends the queues of those in which somebody waits: every connection goes to its heir. */
  handOn(app: AppId): void
  /** Closes everything that waits; says how many that were. */
  closeWaiting(app: AppId): number
  /** Gives the port back. */
  free(app: AppId, port: number): void
  /** Closes this process's descriptors; the holders keep the sockets. */
  close(): void
  /** Ends the holders. */
  destroy(): void
}

/** Finds the park sockets that holders of this cgroup keep. */
export function openParks(maps: Maps, group: KernelObject, cgroup: string): Parks {
  const holders = join(cgroup, 'holders')
  const held = new Map<bigint, Held>()
  for (const pid of cgroupPids(holders)) {
    const found = fetch(pid)
    if (found !== null) held.set(found.cookie, found)
  }
  const of = (app: AppId) => listenersFor(maps, { app, release: 0 })
  const heldOf = (app: AppId) => of(app).flatMap((listener) => held.get(listener.cookie) ?? [])

  return {
    of,
    hold: (app, listener) => {
      const socket = bound(listener)
      attachGroupProgram(socket, group)
      const holder = startHolder(socket, holders)
      const cookie = socketCookie(socket)
      held.set(cookie, { socket, cookie, holder })
      enter(maps, app, listener.port, socket)
    },
    join: (listener) => {
      using socket = bound(listener)
      attachGroupProgram(socket, group)
    },
    handOn: (app) => {
      for (const { port, waiting, cookie, place } of of(app)) {
        const one = held.get(cookie)
        if (waiting === 0 || one === undefined) continue
        shutDown(one.socket)
        // Out of the map before it listens again: a place is never updated with the socket that is in it.
        maps.places.delete(placeKey({ ref: { app, release: 0 }, port, n: place }))
        listen(one.socket, backlog)
        attachGroupProgram(one.socket, group)
        enter(maps, app, port, one.socket)
      }
    },
    closeWaiting: (app) => {
      let closed = 0
      for (const { socket } of heldOf(app)) for (let i = 0; i < backlog && closeOneWaiting(socket); i++) closed++
      return closed
    },
    free: (app, port) => {
      for (const listener of of(app).filter((one) => one.port === port)) {
        const one = held.get(listener.cookie)
        if (one !== undefined) end(one)
        held.delete(listener.cookie)
      }
      const row = { ref: { app, release: 0 }, port, n: 0 }
      for (const place of placesOf(maps, row)) {
        maps.owners.delete(placeKey(place))
        maps.stamps.delete(placeKey(place))
      }
      maps.seats.delete(placeKey(row))
    },
    close: () => {
      for (const { socket } of held.values()) socket[Symbol.dispose]()
      held.clear()
    },
    destroy: () => {
      for (const one of held.values()) end(one)
      held.clear()
    },
  }
}

/** A socket of our own that listens where the app's does, with its user, so that both are in one group. */
function bound({ family, address, port, v6only, device, uid }: Listener): Descriptor {
  const socket = tcpSocket(family)
  try {
    giveTo(socket, uid)
    sharePort(socket)
    if (family === 'ipv6') setV6Only(socket, v6only)
    if (device !== 0) bindToInterface(socket, device)
    bind(socket, { family, address, port })
    // The program comes after: attached before, it would only be a group of its own.
    listen(socket, backlog)
    return socket
  } catch (error) {
    socket[Symbol.dispose]()
    throw error
  }
}

/** Gives the socket the lowest free place of the app's park. */
function enter(maps: Maps, app: AppId, port: number, socket: Descriptor): void {
  const row = { ref: { app, release: 0 }, port, n: 0 }
  for (let n = 0; n < maxListeners; n++) {
    const key = placeKey({ ...row, n })
    if (!maps.places.add(key, u64(BigInt(socket.fd)))) continue
    maps.owners.set(key, u64(socketCookie(socket), 0n))
    const high = Math.max(n + 1, placesOf(maps, row).length)
    maps.seats.set(placeKey(row), u32(high, 0, 0))
    return
  }
  throw new Error(`no place is free for the park of port ${port}`)
}

/** A process without any logic: it has the socket, and sleeps. */
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
  child.on('error', () => {})
  const identity = child.pid === undefined ? null : identify(child.pid)
  if (identity === null) throw new Error('sleep (coreutils) could not be started to hold the port')
  return identity
}

/** The socket of a holder that an earlier daemon started. pidfd_getfd(2), Linux 5.6. */
function fetch(pid: number): Held | null {
  const holder = identify(pid)
  using pidfd = openPidfd(pid)
  if (holder === null || pidfd === null) return null
  const fd = attempt('pidfd_getfd', pidfd.fd, heldAt, 0)
  if (fd < 0) return null
  const socket = new Descriptor(fd)
  return { socket, cookie: socketCookie(socket), holder }
}

function end({ socket, holder }: Held): void {
  // The queue ends with the last copy; the listener has to end now.
  shutDown(socket)
  socket[Symbol.dispose]()
  if (isAlive(holder)) sendSignal(holder, 'SIGKILL')
}
