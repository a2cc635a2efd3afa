/** Whether the disk has room for a release, asked before the first byte is written. */
import { stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type CutoverError, failure } from '../../core/errors.ts'
import { codeOf } from './failures.ts'

export interface Need {
  /** Where the copy goes; it need not be there yet. */
  readonly at: string
  readonly bytes: number
  readonly inodes: number
}

/** Kept free beside a copy, for logs, the database and what a build writes: 16 MB and a twentieth of the copy. */
const margin = (bytes: number) => 16_000_000 + Math.ceil(bytes / 20)
const inodeMargin = 64

/**
 * Needs on one file system are added up. Blocks that are reserved for root count as taken.
 * @throws CutoverError saying how much is needed, how much is free, and where.
 */
export async function requireRoom(needs: readonly Need[]): Promise<void> {
  const disks = new Map<number, Need>()
  for (const need of needs) {
    const at = await nearest(need.at)
    const { dev } = await stat(at)
    const sum = disks.get(dev)
    disks.set(dev, {
      at: sum?.at ?? at,
      bytes: (sum?.bytes ?? 0) + need.bytes,
      inodes: (sum?.inodes ?? 0) + need.inodes,
    })
  }
  for (const need of disks.values()) {
    const free = await freeAt(need.at)
    const bytes = need.bytes + margin(need.bytes)
    if (free.bytes < bytes)
      throw failure(
        `There is not enough room for the release on the disk of ${need.at}: ${megabytes(bytes)} are needed ` +
          `(${megabytes(need.bytes)} for the copy, the rest is kept free) and ${megabytes(free.bytes)} are free. ${remedy}`,
      )
    const inodes = need.inodes + inodeMargin
    if (free.inodes < inodes)
      throw failure(
        `There are not enough inodes for the release on the disk of ${need.at}: ${count(inodes)} are needed ` +
          `(${count(need.inodes)} for the copy, the rest is kept free) and ${count(free.inodes)} are free. ${remedy}`,
      )
  }
}

/** The disk became full in the middle after all; to be asked when what was written is gone again. */
export async function ranOutOfRoom(needs: readonly Need[], cause: unknown): Promise<CutoverError> {
  const at = await nearest(needs[0]?.at ?? '/')
  const free = await freeAt(at)
  const bytes = needs.reduce((sum, need) => sum + need.bytes, 0)
  const inodes = needs.reduce((sum, need) => sum + need.inodes, 0)
  const what = codeOf(cause) === 'EDQUOT' ? "The user's disk quota was used up" : 'The disk became full'
  return failure(
    `${what} while the release was copied to ${at}: ${megabytes(bytes)} and ${count(inodes)} inodes are needed, ` +
      `and without this copy ${megabytes(free.bytes)} and ${free.inodes === Infinity ? 'any number of' : count(free.inodes)} inodes ` +
      `are free. What was copied is removed. ${remedy}`,
    { cause },
  )
}

const remedy = 'Free some, leave files out of the release (ignore), or keep fewer releases (retain).'

const megabytes = (bytes: number) => `${(bytes / 1_000_000).toFixed(1)} MB`
const count = (number: number) => number.toLocaleString('en-US')

/** File systems without a fixed number of inodes (btrfs) say that they have 0. */
async function freeAt(path: string): Promise<{ bytes: number; inodes: number }> {
  const { bavail, bsize, files, ffree } = await statfs(path)
  return { bytes: bavail * bsize, inodes: files === 0 ? Number.POSITIVE_INFINITY : ffree }
}

/** The path itself, or the closest directory above it that is there. */
async function nearest(path: string): Promise<string> {
  try {
    await stat(path)
    return path
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    return nearest(dirname(path))
  }
}
