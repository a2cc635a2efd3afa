/** What the kernel keeps for a node, read from its pins: for tests of what is left. */
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { hookedReleases } from '../../src/strategies/steer/hooks.ts'
import { openKernel } from '../../src/strategies/steer/kernel.ts'
import { counterNames, placeOf, refOfKey, u32 } from '../../src/strategies/steer/layout.ts'
import type { TestNode } from './node.ts'

/** The directory of the node's pins; null if there are none. */
export function pinsOf({ place, cgroup }: TestNode): string | null {
  const places = [join(place.home, 'bpf'), '/sys/fs/bpf'].map((directory) => join(directory, basename(cgroup)))
  return places.find((directory) => existsSync(directory)) ?? null
}

/** The numbers of the releases that any map still speaks of, park (0) left out, and those that have hooks pinned. */
export function releasesInKernel(node: TestNode): { readonly inMaps: number[]; readonly hooked: number[] } {
  using kernel = openKernel(pinsOf(node) ?? '')
  const { seats, sites, owners, places, tallies, alive } = kernel.maps
  const living = alive
    .keys()
    .flatMap((key) => alive.get(key) ?? [])
    .flatMap((slots) => Array.from({ length: slots.length / 2 }, (_, slot) => slots.readUInt16LE(slot * 2)))
  const inMaps = new Set([
    ...[seats, sites, owners, places].flatMap((map) => map.keys().map((key) => placeOf(key).ref.release)),
    ...tallies.keys().map((key) => refOfKey(key.readUInt32LE(0)).release),
    ...living,
  ])
  inMaps.delete(0)
  const hooked = hookedReleases(kernel).map(({ release }) => release)
  return { inMaps: [...inMaps].toSorted((a, b) => a - b), hooked: hooked.toSorted((a, b) => a - b) }
}

/** How often that happened on this node, of `counterNames`. */
export function counterOf(node: TestNode, name: (typeof counterNames)[number]): number {
  using kernel = openKernel(pinsOf(node) ?? '')
  return Number(kernel.maps.counters.get(u32(counterNames.indexOf(name)))?.readBigUInt64LE(0) ?? 0n)
}

/** The release that the kernel gives new connections of the app to; 0: none. */
export function wordOf(node: TestNode, slot: number): number {
  using kernel = openKernel(pinsOf(node) ?? '')
  return kernel.maps.apps.get(u32(slot))?.readUInt16LE(0) ?? 0
}
