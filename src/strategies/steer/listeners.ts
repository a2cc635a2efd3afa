/** The listening sockets that have a place in the kernel's map, as sock_diag(7) describes them. */
import { failure } from '../../core/errors.ts'
import type { Descriptor } from '../../linux/ffi.ts'
import { listenersOn, type TcpSocket } from '../../linux/sock-diag.ts'
import { socketCookie } from '../../linux/sockets.ts'
import type { Listener, ReleaseRef } from '../steering.ts'
import type { Maps } from './kernel.ts'
import { maxListeners, type Place, placeKey, placeOf, releaseKey, seatsValue, u64 } from './layout.ts'

/** The rows of the map `seats`: a release and a port that it ever listened on. */
export const rowsOf = (maps: Maps, ref: ReleaseRef): Place[] => {
  const key = releaseKey(ref)
  return maps.seats
    .keys()
    .map(placeOf)
    .filter((row) => releaseKey(row.ref) === key)
}

/** The places of a row that were ever taken, the lowest first. */
export function placesOf(maps: Pick<Maps, 'seats'>, row: Place): Place[] {
  const high = maps.seats.get(placeKey({ ...row, n: 0 }))?.readUInt32LE(0) ?? 0
  return Array.from({ length: high }, (_, n) => ({ ...row, n }))
}

/** What listens for the release at this moment. A socket that was shut down has a place and does not listen. */
export function listenersFor(maps: Maps, ref: ReleaseRef): Listener[] {
  const places = rowsOf(maps, ref).flatMap((row) => placesOf(maps, row))
  const taken = places.flatMap((place) => {
    const cookie = maps.places.get(placeKey(place))?.readBigUInt64LE(0)
    return cookie === undefined ? [] : [{ place, cookie }]
  })
  if (taken.length === 0) return []
  const sockets = new Map<bigint, TcpSocket>()
  for (const socket of listenersOn([...new Set(taken.map(({ place }) => place.port))]))
    sockets.set(socket.cookie, socket)
  return taken.flatMap(({ place, cookie }) => {
    const socket = sockets.get(cookie)
    if (socket === undefined) return []
    const worker = maps.owners.get(placeKey(place))?.readBigUInt64LE(8) ?? 0n
    return [
      {
        port: place.port,
        family: socket.family,
        address: socket.localAddress,
        v6only: socket.v6only,
        device: socket.interface,
        uid: socket.uid,
        place: place.n,
        cookie,
        worker,
        waiting: socket.receiveQueue,
      },
    ]
  })
}

/**
 * Gives a listening socket the lowest free place from this one on, as the kernel does for what an app opens under its hooks.
 * @throws CutoverError `failed` if there is none
 */
export function enter(
  maps: Pick<Maps, 'places' | 'owners' | 'seats'>,
  { ref, port, n: first }: Place,
  socket: Descriptor,
  worker = 0n,
): void {
  for (let n = first; n < maxListeners; n++) {
    const key = placeKey({ ref, port, n })
    if (!maps.places.add(key, u64(BigInt(socket.fd)))) continue
    // Whether it asked for SO_REUSEPORT itself is not known: the kernel decides whom it shares with.
    maps.owners.set(key, u64(socketCookie(socket), worker, 1n))
    const row = { ref, port, n: 0 }
    const high = Math.max(n + 1, placesOf(maps, row).length)
    maps.seats.set(placeKey(row), seatsValue(high))
    return
  }
  throw failure(`Port ${port} is listened on by more than ${maxListeners} sockets, which is as many as can be held.`)
}

/** The row goes as far as this place, which is taken. */
export function reachTo(maps: Maps, place: Place): void {
  const row = { ...place, n: 0 }
  if (placesOf(maps, row).length <= place.n) maps.seats.set(placeKey(row), seatsValue(place.n + 1))
}

/** Gives the place of one listening socket to another, in one step. */
export function replace(maps: Maps, place: Place, socket: Descriptor): void {
  const key = placeKey(place)
  maps.places.set(key, u64(BigInt(socket.fd)))
  maps.owners.set(key, u64(socketCookie(socket), 0n, 1n))
}
