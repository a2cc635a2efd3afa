/** Where park stands: with every listener of the app's living releases, and at the addresses that they declare. */
import { anyAddress } from '../../core/address.ts'
import type { AppId } from '../../core/words.ts'
import type { Listener, ReleaseRef } from '../steering.ts'
import type { Maps } from './kernel.ts'
import { listenersFor } from './listeners.ts'
import { livingOf } from './living.ts'
import { isSamePlace, type Park, unheld } from './park.ts'
import { portsOf } from './ports.ts'
import { sitesOf, writeSite } from './sites.ts'

/**
 * Holds every declared port wherever a living release listens on it or wants to be reached, lets all groups have their program, and tells the
 * kernel for each release where its clients may wait: only where it can take them over.
 * @throws CutoverError `failed` naming the address that cannot be held
 */
export function standEverywhere(maps: Maps, park: Park, app: AppId): void {
  const declared = new Set(portsOf(maps, app).flatMap(({ port, declared }) => (declared ? [port] : [])))
  for (const listener of unheld(maps, park, app)) {
    if (declared.has(listener.port)) park.hold(app, listener)
    else park.join(listener)
  }
  const releases = livingRefs(maps, app).map((ref) => ({ ref, listeners: listenersFor(maps, ref) }))
  for (const { ref, listeners } of releases) {
    for (const wish of wishesOf(maps, ref, listeners))
      if (!park.of(app).some((one) => isSamePlace(one, wish))) park.hold(app, wish)
  }
  const standing = park.of(app)
  for (const { ref, listeners } of releases) {
    // A release that does not listen on a port at this moment comes back to where it was.
    for (const port of new Set(listeners.flatMap(({ port }) => (declared.has(port) ? [port] : [])))) {
      const beside = standing.filter((one) => one.port === port && listeners.some((own) => isSamePlace(one, own)))
      const park = beside.reduce((bits, { place }) => bits | bitOf(place), 0n)
      const address = sitesOf(maps, ref).find((site) => site.port === port)?.address ?? null
      writeSite(maps, ref, { port, address, park })
    }
  }
}

/** Gives up the addresses at which no living release listens or wants to be reached any more. Without such a release all stay reserved. */
export function leaveAlone(maps: Maps, park: Park, app: AppId): void {
  const sites = livingRefs(maps, app).flatMap((ref) => sitesOf(maps, ref))
  for (const socket of park.of(app)) {
    const known = sites.filter((site) => site.port === socket.port && site.park !== 0n)
    const needed = known.some((site) => (site.park & bitOf(socket.place)) !== 0n || site.address === socket.address)
    if (known.length > 0 && !needed) park.leave(app, socket)
  }
}

const livingRefs = (maps: Maps, app: AppId): ReleaseRef[] => livingOf(maps, app).map((release) => ({ app, release }))

const bitOf = (place: number): bigint => 1n << BigInt(place)

/** The addresses that a release declares, as if it listened there itself. */
const wishesOf = (maps: Maps, ref: ReleaseRef, listeners: readonly Listener[]): Listener[] =>
  sitesOf(maps, ref).flatMap(({ port, address }) => {
    const own = listeners.find((one) => one.port === port)
    if (address === null || own === undefined) return []
    const family = address.includes(':') ? ('ipv6' as const) : ('ipv4' as const)
    // As the kernel has it: only what listens on `::` takes IPv4 too.
    return [{ ...own, family, address, v6only: family === 'ipv6' && address !== anyAddress, device: 0 }]
  })
