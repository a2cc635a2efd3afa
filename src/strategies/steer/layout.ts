/** What the kernel's maps hold, as bytes: the counterpart of bpf/maps.h. A change there is a new version here, and told in former.ts. */

import { addressBytes, addressText } from '../../core/address.ts'
import type { AppId } from '../../core/words.ts'
import type { ReleaseRef } from '../steering.ts'

/**
 * Part of the path of every pin: maps of another layout are never taken for these, only moved (move.ts). Programs of one layout, of whatever
 * version, work side by side on the same maps, are the same in number and name, and are replaced by one another in place (install.ts).
 */
export const layoutVersion = 6

/** Most listening sockets of a release on one port. */
export const maxListeners = 64

export const tcp = 6
const portDeclared = 1
export const wordHold = 1

/** How the kernel counts what happened, in the order of `enum counter`. */
export const counterNames = [
  'no_place',
  'foreign_namespace',
  'others_port',
  'in_use',
  'swallowed',
  'mptcp_refused',
  'dropped',
  'parked',
  'too_late',
  'failed_over',
  'migrated',
  'no_heir',
  'closed_late',
] as const

/** After those: how many connections of the daemon to dark releases there are. While it is 0 the programs look for none. */
export const probesCounter = counterNames.length + 1

/** A release in one number, as in every key. */
export const releaseKey = ({ app, release }: ReleaseRef): number => app * 0x1_0000 + release
export const refOfKey = (key: number): ReleaseRef => ({ app: Math.floor(key / 0x1_0000), release: key % 0x1_0000 })

export const u32 = (...values: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4)
  return bytes
}

export const u64 = (...values: readonly bigint[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 8)
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(value, index * 8)
  return bytes
}

/** Where a listener of a release stands on a port. */
export interface Place {
  readonly ref: ReleaseRef
  readonly port: number
  readonly n: number
}

/** `struct place` */
export function placeKey({ ref, port, n }: Place): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(releaseKey(ref), 0)
  bytes.writeUInt16LE(port, 4)
  bytes.writeUInt8(tcp, 6)
  bytes.writeUInt8(n, 7)
  return bytes
}

export const placeOf = (key: Buffer): Place => ({
  ref: refOfKey(key.readUInt32LE(0)),
  port: key.readUInt16LE(4),
  n: key.readUInt8(7),
})

/** `struct seats`, with so many places taken. Of sockets that were not looked at it is not said that they are all bound alike. */
export function seatsValue(high: number): Buffer {
  const bytes = Buffer.alloc(32)
  bytes.writeUInt32LE(high, 0)
  bytes.writeUInt32LE(1, 12)
  return bytes
}

export const portKey = (port: number): Buffer => u32(tcp * 0x1_0000 + port)
export const portOfKey = (key: Buffer): number => key.readUInt16LE(0)

/** Of a release and port: where it is to be reached, and where its clients may wait. */
export interface Site {
  /** By the config, instead of where the release listens; null: there. */
  readonly address: string | null
  /** The places of park that are in one group with a listener of the release, as bits. */
  readonly park: bigint
}

/** `struct site` */
export function siteValue({ address, park }: Site): Buffer {
  const bytes = Buffer.alloc(32)
  if (address !== null) addressBytes(address).copy(bytes)
  bytes.writeBigUInt64LE(park, 16)
  bytes.writeUInt32LE(address === null ? 0 : 1, 24)
  return bytes
}

export const siteOf = (value: Buffer): Site => ({
  address: value.readUInt32LE(24) === 0 ? null : addressText(value.subarray(0, 16)),
  park: value.readBigUInt64LE(16),
})

/** `struct port` */
export const portValue = (app: AppId, declared: boolean): Buffer => u32(app + (declared ? portDeclared * 0x1_0000 : 0))
export const ownerOfPort = (value: Buffer): { readonly app: AppId; readonly declared: boolean } => ({
  app: value.readUInt16LE(0),
  declared: (value.readUInt16LE(2) & portDeclared) !== 0,
})

/** `struct connection`: as its receiver sees it. */
export function connectionKey(
  remote: { address: string; port: number },
  local: { address: string; port: number },
): Buffer {
  const bytes = Buffer.alloc(40)
  addressBytes(remote.address).copy(bytes, 0)
  addressBytes(local.address).copy(bytes, 16)
  bytes.writeUInt16LE(remote.port, 32)
  bytes.writeUInt16LE(local.port, 34)
  bytes.writeUInt32LE(tcp, 36)
  return bytes
}
