/**
 * Whose the sockets on an app's ports are. A port is shared only among sockets of one user, root included: the kernel compares them when
 * one binds and when it listens, and never again. So whoever is about to do that is lent the port: all sockets that are there already are
 * given to its user. Groups, queues and connections stay as they are. See fchown(2), inet_csk_get_port() in the kernel.
 */
import type { AppId } from '../../core/words.ts'
import { dumpTcp, type TcpSocket } from '../../linux/sock-diag.ts'
import { giveTo } from '../../linux/sockets.ts'
import { copiesOf } from './copies.ts'
import type { Maps } from './kernel.ts'
import { placeKey, u64 } from './layout.ts'
import { placesOf, rowsOf } from './listeners.ts'
import { livingOf } from './living.ts'
import { portsOf } from './ports.ts'

export interface Lending {
  /** The uid of whoever is about to bind. */
  readonly to: number
  /** Sockets of these users only; null: of all. A release that takes another user by itself, before it binds, keeps its sockets that way. */
  readonly from: ReadonlySet<number> | null
}

/** Processes come and go while they are looked through. */
const passes = 3

/** Gives the app's sockets on all its ports, declared or not, and park's to the user. */
export function lendPorts(maps: Maps, app: AppId, { to, from }: Lending): void {
  for (let pass = 0; pass < passes; pass++) {
    const others = socketsOf(maps, app).filter(({ uid }) => uid !== to && (from === null || from.has(uid)))
    if (others.length === 0) return
    for (const { copy } of copiesOf(others)) giveTo(copy, to)
  }
}

/** Those that listen, and those that are bound and listen soon, or again. */
function socketsOf(maps: Maps, app: AppId): TcpSocket[] {
  const rows = [0, ...livingOf(maps, app)].flatMap((release) => rowsOf(maps, { app, release }))
  const placed = new Set(
    rows.flatMap((row) =>
      placesOf(maps, row).flatMap((place) => maps.places.get(placeKey(place))?.readBigUInt64LE(0) ?? []),
    ),
  )
  const isOwn = ({ cookie }: TcpSocket) => placed.has(cookie) || maps.binders.get(u64(cookie)) !== null
  return portsOf(maps, app).flatMap(({ port }) => dumpTcp({ states: ['listen', 'bound'], port }).filter(isOwn))
}
