/**
 * For how long connections may be parked. The deadline is in the kernel's maps: the look-up program stamps the first connection that it
 * parks at a place and refuses once the time is over, whether a daemon lives or not. Every deadline begins anew with a new epoch: at a
 * switch, and when the active release listens again.
 */
import { readFileSync } from 'node:fs'
import { failure } from '../../core/errors.ts'
import type { AppId } from '../../core/words.ts'
import type { Maps } from './kernel.ts'
import { type Place, placeKey, u32, u64 } from './layout.ts'

interface Hold {
  readonly ns: bigint
  readonly epoch: bigint
}

/** Sets how long that is; what waits already keeps its time if nothing changes. */
export function setHold(maps: Maps, app: AppId, ms: number): void {
  const ns = BigInt(Math.round(ms * 1_000_000))
  const before = holdOf(maps, app)
  if (before.ns !== ns) maps.holds.set(u32(app), u64(ns, before.epoch + 1n))
}

/** Every deadline of the app begins anew. */
export function renewHold(maps: Maps, app: AppId): void {
  const { ns, epoch } = holdOf(maps, app)
  maps.holds.set(u32(app), u64(ns, epoch + 1n))
}

/** Was anybody parked at this place since {@link clearStamp}, for all that the program knows? */
export const isStamped = (maps: Maps, place: Place): boolean => maps.stamps.get(placeKey(place)) !== null

export const clearStamp = (maps: Maps, place: Place): void => void maps.stamps.delete(placeKey(place))

/**
 * Has the hold at this place of park been over? What waits there and was never stamped in this epoch (it came from a listener that closed,
 * or waits since before) is stamped by this look, and has its time from now on.
 */
export function isOver(maps: Maps, place: Place): boolean {
  const { ns, epoch } = holdOf(maps, place.ref.app)
  const stamp = maps.stamps.get(placeKey(place))
  const now = bootTimeNs()
  if (stamp?.readBigUInt64LE(0) === epoch) return now - stamp.readBigUInt64LE(8) > ns
  maps.stamps.set(placeKey(place), u64(epoch, now))
  return false
}

function holdOf(maps: Maps, app: AppId): Hold {
  const bytes = maps.holds.get(u32(app))
  return { ns: bytes?.readBigUInt64LE(0) ?? 0n, epoch: bytes?.readBigUInt64LE(8) ?? 0n }
}

/** CLOCK_BOOTTIME, which the program uses as well; to a hundredth of a second. See proc_uptime(5). */
function bootTimeNs(): bigint {
  const seconds = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
  if (!Number.isFinite(seconds)) throw failure('/proc/uptime could not be read')
  return BigInt(Math.round(seconds * 1000)) * 1_000_000n
}
