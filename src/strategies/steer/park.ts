/**
 * Park: the sockets that hold an app's ports. `ss` shows them, nobody takes the port by accident, and connections that nothing can serve
 * wait in them. Each stands at an address at which a release listens, in one group with it, and is kept by a holder.
 */
import { join } from 'node:path'
import { failure } from '../../core/errors.ts'
import { isSameStanding } from '../../core/reach.ts'
import type { AppId } from '../../core/words.ts'
import type { KernelObject } from '../../linux/bpf.ts'
import { type Descriptor, SystemError } from '../../linux/ffi.ts'
import {
  attachGroupProgram,
  bind,
  bindToInterface,
  closeOneWaiting,
  giveTo,
  listen,
  setV6Only,
  sharePort,
  tcpSocket,
} from '../../linux/sockets.ts'
import { findHeld, type Held, hold } from '../holders.ts'
import type { Listener } from '../steering.ts'
import type { Maps } from './kernel.ts'
import { type Place, placeKey } from './layout.ts'
import { enter, listenersFor, placesOf, replace } from './listeners.ts'
import { livingOf } from './living.ts'

/** Connections that may wait at one address; `net.core.somaxconn` may allow fewer. */
const backlog = 4096

export interface Park {
  /** Its sockets for the app. */
  of(app: AppId): Listener[]
  /**
   * Holds the address of this listener for the app, in one group with it.
   * @throws CutoverError `failed` if the address cannot be had
   */
  hold(app: AppId, listener: Listener): void
  /** Lets the group of this listener have the program, without holding its address. Throws as {@link hold} does. */
  join(listener: Listener): void
  /** Lets the group of this socket have the program, in the place of the one that it has. */
  regroup(socket: Listener): void
  /**
   * Ends this socket: every connection in it goes to its heir, also those that are still being made. Another one holds the address from then on.
   * @throws CutoverError `failed` if there can be no other one; what waited was handed on
   */
  handOn(app: AppId, socket: Listener): void
  /** Closes everything that waits in this socket; says how many that were. */
  closeWaiting(socket: Listener): number
  /** Gives this one up. */
  leave(app: AppId, socket: Listener): void
  /** Gives the port back. */
  free(app: AppId, port: number): void
  /** Closes this process's descriptors; the holders keep the sockets. */
  close(): void
  /** Ends all sockets and holders. */
  destroy(): void
}

export const placeOfPark = (app: AppId, { port, place }: Listener): Place => ({
  ref: { app, release: 0 },
  port,
  n: place,
})

/** Finds the sockets that holders of this cgroup keep; ends those that a killed daemon had made and not yet entered. */
export function openPark(maps: Maps, group: KernelObject, cgroup: string): Park {
  const holders = join(cgroup, 'holders')
  const entered = new Set(maps.places.keys().map((key) => maps.places.get(key)?.readBigUInt64LE(0)))
  const held = new Map<bigint, Held>()
  for (const found of findHeld(holders)) {
    if (entered.has(found.cookie)) held.set(found.cookie, found)
    else found.letGo()
  }
  const of = (app: AppId) => listenersFor(maps, { app, release: 0 })
  const leave = (place: Place) => {
    const key = placeKey(place)
    const kept = held.get(maps.places.get(key)?.readBigUInt64LE(0) ?? 0n)
    if (kept !== undefined) {
      kept.letGo()
      held.delete(kept.cookie)
    }
    maps.places.delete(key)
    maps.owners.delete(key)
    maps.stamps.delete(key)
  }
  const stand = (listener: Listener, take: (socket: Descriptor) => void): void => {
    const socket = standingAt(listener)
    let kept: Held | null = null
    try {
      attachGroupProgram(socket, group)
      kept = hold([socket], holders)
      take(socket)
      held.set(kept.cookie, kept)
    } catch (error) {
      if (kept === null) socket[Symbol.dispose]()
      else kept.letGo()
      throw error
    }
  }

  return {
    of,
    hold: (app, listener) =>
      stand(listener, (socket) => enter(maps, { ref: { app, release: 0 }, port: listener.port, n: 0 }, socket)),
    join: (listener) => {
      using socket = standingAt(listener)
      attachGroupProgram(socket, group)
    },
    regroup: ({ cookie }) => {
      const socket = held.get(cookie)?.sockets[0]
      if (socket !== undefined) attachGroupProgram(socket, group)
    },
    handOn: (app, listener) => {
      const kept = held.get(listener.cookie)
      if (kept === undefined) return
      // Never the same socket again: handshakes that were half done in it would end there, and wait anew. The next one first: nothing is given up
      // if there can be none, and whoever comes while the release closes its listener once more finds somewhere to wait. Its own place again:
      // the kernel knows by it whose clients may wait there.
      stand(listener, (socket) => replace(maps, placeOfPark(app, listener), socket))
      kept.letGo()
      held.delete(kept.cookie)
    },
    closeWaiting: ({ cookie }) => {
      const socket = held.get(cookie)?.sockets[0]
      let closed = 0
      while (socket !== undefined && closed < backlog && closeOneWaiting(socket)) closed++
      return closed
    },
    leave: (app, socket) => leave(placeOfPark(app, socket)),
    free: (app, port) => {
      const row = { ref: { app, release: 0 }, port, n: 0 }
      for (const place of placesOf(maps, row)) leave(place)
      maps.seats.delete(placeKey(row))
    },
    close: () => {
      for (const one of held.values()) one[Symbol.dispose]()
      held.clear()
    },
    destroy: () => {
      for (const one of held.values()) one.letGo()
      held.clear()
    },
  }
}

/** Do both stand at the same address of the same port, in one group? */
export const isSamePlace = (a: Listener, b: Listener): boolean => isSameStanding(a, b) && a.uid === b.uid

/** Where a release of the app listens and park does not: each address once. */
export function unheld(maps: Maps, park: Park, app: AppId): Listener[] {
  const held = park.of(app)
  const found: Listener[] = []
  for (const listener of livingOf(maps, app).flatMap((release) => listenersFor(maps, { app, release })))
    if (![...held, ...found].some((one) => isSamePlace(one, listener))) found.push(listener)
  return found
}

/** A socket of our own that listens where the app's does, with its user, so that both are in one group. */
function standingAt({ family, address, port, v6only, device, uid }: Listener): Descriptor {
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
    if (error instanceof SystemError) throw cannotHold(address, port, error)
    throw error
  }
}

function cannotHold(address: string, port: number, cause: SystemError) {
  const why =
    cause.code === 'EADDRINUSE'
      ? 'another program, or a release of another user, listens there as well'
      : cause.code === 'EADDRNOTAVAIL'
        ? 'it is not an address of this machine'
        : cause.message
  return failure(
    `Port ${port} of ${address}, where the release is to be reached, could not be held for the app: ${why}. Nothing was switched.`,
    { cause },
  )
}
