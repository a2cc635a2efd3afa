/**
 * The releases of an app that live, dark ones included. The kernel has to know them all: where only a dark one listens, it refuses instead
 * of leaving the choice to the ordinary look-up.
 */
import { refusal } from '../../core/errors.ts'
import type { AppId, ReleaseNumber } from '../../core/words.ts'
import { type DeclaredPort, maxAlive, type ReleaseRef } from '../steering.ts'
import { attachHooks, detachHooks, hookedReleases, pinnedReleases } from './hooks.ts'
import type { Kernel, Maps } from './kernel.ts'
import { placeKey, releaseKey, u32, u64 } from './layout.ts'
import { placesOf, rowsOf } from './listeners.ts'
import { declareSites, forgetSites } from './sites.ts'

/** Its living releases, in no order. */
export const livingOf = (maps: Maps, app: AppId): ReleaseNumber[] =>
  slotsOf(maps, app).filter((release) => release !== 0)

/**
 * The release lives from now on, and every socket that is made in the cgroup is its own.
 * @throws CutoverError `refused` if there is no room for another; SystemError if the kernel refuses the hooks. Then nothing was changed.
 */
export function bringIn(kernel: Kernel, ref: ReleaseRef, cgroup: string, ports: readonly DeclaredPort[]): void {
  const { maps } = kernel
  const slots = slotsOf(maps, ref.app)
  if (!slots.includes(ref.release)) {
    const free = slots.indexOf(0)
    if (free === -1) throw refusal(`${maxAlive} releases of this app run already; wait until one has retired.`)
    writeSlots(maps, ref.app, slots.with(free, ref.release))
  }
  try {
    maps.tallies.set(u32(releaseKey(ref)), u64(0n))
    declareSites(maps, ref, ports)
    attachHooks(kernel, ref, cgroup)
  } catch (error) {
    takeOut(kernel, ref)
    throw error
  }
}

/** Nothing in the kernel names the release any more. */
export function takeOut(kernel: Kernel, ref: ReleaseRef): void {
  const { maps } = kernel
  detachHooks(kernel, ref)
  for (const row of rowsOf(maps, ref)) {
    for (const place of placesOf(maps, row)) {
      maps.places.delete(placeKey(place))
      maps.owners.delete(placeKey(place))
    }
    maps.seats.delete(placeKey(row))
  }
  maps.tallies.delete(u32(releaseKey(ref)))
  maps.handed.delete(u32(releaseKey(ref)))
  forgetSites(maps, ref)
  const slots = slotsOf(maps, ref.app)
  if (slots.includes(ref.release)) {
    writeSlots(
      maps,
      ref.app,
      slots.map((release) => (release === ref.release ? 0 : release)),
    )
  }
}

/** The app has no release any more, nor a word of its own. */
export function forgetApp(maps: Maps, app: AppId): void {
  maps.apps.delete(u32(app))
  writeSlots(maps, app, Array(maxAlive).fill(0))
}

/** Takes out what a daemon that was killed left half brought in or half taken out: its hooks are not all there, or it has no slot. */
export function tidy(kernel: Kernel): void {
  const hooked = new Set(hookedReleases(kernel).map(releaseKey))
  const inSlots = kernel.maps.alive.keys().flatMap((key) => {
    const app = key.readUInt32LE(0)
    return livingOf(kernel.maps, app).map((release) => ({ app, release }))
  })
  const living = new Set(inSlots.map(releaseKey))
  for (const ref of inSlots) if (!hooked.has(releaseKey(ref))) takeOut(kernel, ref)
  for (const ref of pinnedReleases(kernel)) if (!living.has(releaseKey(ref))) takeOut(kernel, ref)
}

function slotsOf(maps: Maps, app: AppId): ReleaseNumber[] {
  const bytes = maps.alive.get(u32(app)) ?? Buffer.alloc(maxAlive * 2)
  return Array.from({ length: maxAlive }, (_, slot) => bytes.readUInt16LE(slot * 2))
}

function writeSlots(maps: Maps, app: AppId, slots: readonly ReleaseNumber[]): void {
  const bytes = Buffer.alloc(maxAlive * 2)
  for (const [slot, release] of slots.entries()) bytes.writeUInt16LE(release, slot * 2)
  maps.alive.set(u32(app), bytes)
}
