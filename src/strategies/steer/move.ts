/**
 * From a former layout to the present one, under traffic. The pins of the present one come beside the former's: maps that are the same are
 * pinned there too, others are made anew and filled, and the same links get a second name. From then on the present pins are whole, and
 * install.ts replaces the programs in the links as ever. The former hooks write to the former maps until each is replaced, so what has come
 * meanwhile is carried over once more, and the former pins go.
 * A daemon may be killed between any two steps: programs of both layouts work side by side, and the next one goes on from there.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { CutoverError } from '../../core/errors.ts'
import { getPinned, pin } from '../../linux/bpf.ts'
import type { BpfMap } from '../../linux/bpf-map.ts'
import { cgroupId, cgroupRoot, isGone, subgroups } from '../../linux/cgroup.ts'
import { type Descriptor, SystemError } from '../../linux/ffi.ts'
import { dumpTcp } from '../../linux/sock-diag.ts'
import type { ReleaseRef } from '../steering.ts'
import { copiesOf } from './copies.ts'
import { repinHooks } from './hooks.ts'
import type { Former, Kernel, MapName, Maps } from './kernel.ts'
import { type Place, placeOf, portKey, portValue, refOfKey, u32, u64 } from './layout.ts'
import { enter, reachTo } from './listeners.ts'

/**
 * Makes the present pins whole; if it fails, nothing of them is left. Yields the name of each step when it is done.
 * @throws SystemError if the kernel refuses, as where there is less room in a map than is needed
 */
export function* bringOver({ maps, pins, former }: Kernel): Generator<string> {
  if (former === null || existsSync(pins.lookup)) return
  try {
    carryOver(maps, former, 'everything')
    yield 'filled'
    for (const release of readdirSync(former.pins.releases)) {
      repinHooks(former.pins, pins, release)
      yield `links of ${release}`
    }
    using link = getPinned(former.pins.lookup)
    pin(link, pins.lookup)
  } catch (error) {
    rmSync(pins.root, { recursive: true })
    throw error
  }
  yield 'whole'
}

/** Once the present programs run everywhere: takes over what came after {@link bringOver}, and removes the former pins. */
export function* leaveFormer({ maps, former }: Kernel): Generator<string> {
  if (former === null) return
  // What listens in the middle of the first look is seen by the second.
  for (let pass = 0; pass < 2; pass++) carryOver(maps, former, 'what came since')
  yield 'carried over'
  rmSync(former.pins.links, { recursive: true })
  yield 'left'
  rmSync(former.pins.root, { recursive: true })
  yield 'gone'
}

type What = 'everything' | 'what came since'

/** Sockets, not bytes; and what install.ts fills. */
const special: readonly MapName[] = ['places', 'binders', 'next']
/** Both layouts' programs count until the former ones have gone: then it is added up. */
const counts: readonly MapName[] = ['tallies', 'handed', 'counters']

function carryOver(maps: Maps, former: Former, what: What): void {
  carryPlaces(maps, former)
  for (const name of Object.keys(former.maps) as MapName[]) {
    if (special.includes(name)) continue
    for (const entry of entriesOf(former, name)) {
      if (counts.includes(name)) carryCount(maps[name], entry, what)
      else if (what === 'everything' || isOwnerNow(maps, name, entry)) maps[name].set(entry.key, entry.value)
      else maps[name].add(entry.key, entry.value)
    }
  }
  for (const key of maps.places.keys()) reachTo(maps, placeOf(key))
  carryBinders(maps, former, what)
}

interface CarriedEntry {
  readonly key: Buffer
  readonly value: Buffer
  /** Makes it nothing where it came from. */
  empty(): void
}

/** The entries of a former map that are carried over, as they are here; none if it is kept. */
function entriesOf({ maps, changed }: Former, name: MapName): CarriedEntry[] {
  const [from, entry] = [maps[name], changed[name]]
  if (from === undefined || !entry) return []
  return from.keys().flatMap((formerKey) => {
    const before = from.get(formerKey)
    const carried = before && entry(formerKey, before)
    if (!carried) return []
    const [key, value] = carried
    return [{ key, value, empty: () => from.set(formerKey, Buffer.alloc(from.definition.valueSize)) }]
  })
}

/** Where there is no entry nobody counts, so there is one of 0 from the beginning. */
function carryCount(to: BpfMap, { key, value, empty }: CarriedEntry, what: What): void {
  const sum = (what === 'everything' ? null : to.get(key)) ?? Buffer.alloc(value.length)
  if (what === 'what came since') {
    sum.writeBigUInt64LE(sum.readBigUInt64LE(0) + value.readBigUInt64LE(0), 0)
    empty()
  }
  to.set(key, sum)
}

/** Is it of the very socket that has the place? Somebody else's may have been there before. */
const isOwnerNow = (maps: Maps, name: MapName, { key, value }: CarriedEntry): boolean =>
  name === 'owners' && maps.places.get(key)?.readBigUInt64LE(0) === value.readBigUInt64LE(0)

/** Every listener that has a place in the former map and none here gets the same one; if somebody has that meanwhile, the next. */
function carryPlaces(maps: Maps, former: Former): void {
  const placed = placedIn(maps)
  const missing = new Map(entriesOf(former, 'places').map(({ key, value }) => [value.readBigUInt64LE(0), key] as const))
  const sockets = missing.size === 0 ? [] : dumpTcp({ states: ['listen'] })
  for (const { socket, copy } of copiesOf(sockets.filter(({ cookie }) => missing.has(cookie) && !placed.has(cookie)))) {
    const key = missing.get(socket.cookie)
    if (key !== undefined && !maps.places.add(key, u64(BigInt(copy.fd)))) tryToEnter(maps, placeOf(key), copy)
  }
}

const placedIn = ({ places }: Maps): Set<bigint> =>
  new Set(places.keys().flatMap((key) => places.get(key)?.readBigUInt64LE(0) ?? []))

/**
 * What was bound under the hooks of one layout finds its binder under those of the other (a kernel before Linux 6.8 tells of no such socket). What
 * came to listen in between, bound under the one and listening under the other, has a binder still and gets a place.
 */
function carryBinders(maps: Maps, { maps: { binders: from }, changed: { binders: entry } }: Former, what: What): void {
  if (from === undefined || !entry) return
  const [placed, releases] = [placedIn(maps), releasesByCgroup(maps)]
  const sockets = dumpTcp({ states: ['bound', 'listen'] }).filter(({ cgroupId }) => releases.has(cgroupId ?? 0n))
  for (const { socket, copy } of copiesOf(sockets)) {
    const key = u32(copy.fd)
    // A socket storage goes by descriptors; before there was one it was a table that went by cookies.
    const formerKey = from.definition.keySize === key.length ? key : u64(socket.cookie)
    if (socket.state === 'listen' && (what === 'everything' || placed.has(socket.cookie))) {
      // It has its place, or there was no room for it.
      from.delete(formerKey)
      maps.binders.delete(key)
      continue
    }
    const before = from.get(formerKey)
    const [, carried] = (before && entry(formerKey, before)) ?? []
    if (carried !== undefined) maps.binders.add(key, carried)
    const ref = releases.get(socket.cgroupId ?? 0n)
    const binder = maps.binders.get(key)
    if (socket.state !== 'listen' || ref === undefined || binder === null) continue
    tryToEnter(maps, { ref, port: socket.localPort, n: 0 }, copy, binder.readBigUInt64LE(8))
    maps.binders.delete(key)
  }
}

/** As under the hooks, one for which there is no room is left out. */
function tryToEnter(maps: Maps, place: Place, socket: Descriptor, worker?: bigint): void {
  try {
    enter(maps, place, socket, worker)
    maps.ports.add(portKey(place.port), portValue(place.ref.app, false))
  } catch (error) {
    if (!(error instanceof CutoverError || error instanceof SystemError)) throw error
  }
}

/** Whose the sockets are that are made in a cgroup, by its id. */
function releasesByCgroup({ selves }: Maps): Map<bigint, ReleaseRef> {
  const found = new Map<bigint, ReleaseRef>()
  const look = (directory: string, above: ReleaseRef | null): void => {
    try {
      const id = cgroupId(directory)
      const self = selves.get(u64(id))
      const ref = self === null ? above : refOfKey(self.readUInt32LE(0))
      if (ref !== null) found.set(id, ref)
      for (const below of subgroups(directory)) look(below, ref)
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }
  look(cgroupRoot(), null)
  return found
}
