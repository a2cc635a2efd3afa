/**
 * Whose the sockets on an app's ports are. A port is shared only among sockets of one user, root included: the kernel compares them when
 * one binds and when it listens, and never again. So whoever is about to do that is lent the port: all sockets that are there already are
 * given to its user. Groups, queues and connections stay as they are. See fchown(2), inet_csk_get_port() in the kernel.
 */
import type { AppId } from '../../core/words.ts'
import { dumpTcp, type TcpSocket } from '../../linux/sock-diag.ts'
import { giveTo } from '../../linux/sockets.ts'
import type { Lending } from '../steering.ts'
import { copiesOf } from './copies.ts'
import type { Maps } from './kernel.ts'
import { placeKey, u32 } from './layout.ts'
import { placesOf, rowsOf } from './listeners.ts'
import { livingOf } from './living.ts'
import { portsOf } from './ports.ts'

/** Processes come and go while they are looked through. */
const passes = 3

/** Gives the app's sockets on all its ports, declared or not, and park's to the user. */
export function lendPorts(maps: Maps, app: AppId, { to, from }: Lending): void {
  for (let pass = 0; pass < passes; pass++) {
    const others = socketsOn(maps, app).filter(({ uid }) => uid !== to && (from === null || from.has(uid)))
    if (others.length === 0) return
    const placed = placedOf(maps, app)
    for (const { socket, copy } of copiesOf(others)) {
      // Of one that is bound and listens soon only its own storage tells that it is the app's.
      if (placed.has(socket.cookie) || maps.binders.get(u32(copy.fd)) !== null) giveTo(copy, to)
    }
  }
}

/** The cookies of those that listen, or listened and may again. */
function placedOf(maps: Maps, app: AppId): Set<bigint> {
  const rows = [0, ...livingOf(maps, app)].flatMap((release) => rowsOf(maps, { app, release }))
  return new Set(
    rows.flatMap((row) =>
      placesOf(maps, row).flatMap((place) => maps.places.get(placeKey(place))?.readBigUInt64LE(0) ?? []),
    ),
  )
}

/** All that stands on the app's ports, other programs' sockets at other addresses included. */
const socketsOn = (maps: Maps, app: AppId): TcpSocket[] =>
  portsOf(maps, app).flatMap(({ port }) => dumpTcp({ states: ['listen', 'bound'], port }))
