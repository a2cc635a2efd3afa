/** Where each release is to be reached, and where its clients may wait. Kept a release, so that a cutover moves it too. */

import type { DeclaredPort, ReleaseRef } from '../steering.ts'
import type { Maps } from './kernel.ts'
import { placeKey, placeOf, releaseKey, type Site, siteOf, siteValue } from './layout.ts'

/** Says so before the release starts. */
export function declareSites(maps: Maps, ref: ReleaseRef, ports: readonly DeclaredPort[]): void {
  for (const { port, address } of ports) writeSite(maps, ref, { port, address, park: 0n })
}

export const sitesOf = (maps: Maps, ref: ReleaseRef): (Site & DeclaredPort)[] =>
  keysOf(maps, ref).flatMap((key) => {
    const value = maps.sites.get(key)
    return value === null ? [] : [{ ...siteOf(value), port: placeOf(key).port }]
  })

export const writeSite = (maps: Maps, ref: ReleaseRef, { port, ...site }: Site & DeclaredPort): void =>
  maps.sites.set(placeKey({ ref, port, n: 0 }), siteValue(site))

export function forgetSites(maps: Maps, ref: ReleaseRef): void {
  for (const key of keysOf(maps, ref)) maps.sites.delete(key)
}

function keysOf(maps: Maps, ref: ReleaseRef): Buffer[] {
  const wanted = releaseKey(ref)
  return maps.sites.keys().filter((key) => releaseKey(placeOf(key).ref) === wanted)
}
