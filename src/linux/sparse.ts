/** Files with holes: parts that read as zeros and take no room on the disk. See fallocate(2) and lseek(2). */
import { constants } from 'node:os'
import { attempt, SystemError } from './ffi.ts'

const seekData = 3
const keepSize = 0x01
const punchHoleFlag = 0x02

/**
 * Where the next data at or after the offset begins; null if there is none. A file system that knows no holes says the offset itself. Moves the
 * descriptor's own position.
 * @throws SystemError
 */
export function nextData(fd: number, offset: number): number | null {
  const found = attempt('lseek', fd, offset, seekData)
  if (found === -constants.errno.ENXIO) return null
  if (found < 0) throw new SystemError('lseek', -found)
  return Number(found)
}

/**
 * Gives the room of this part of the file back, its length stays: whole blocks become a hole, what is left of a block is filled with zeros.
 * Whoever appends to the file at this moment is not disturbed.
 * @returns false if the file system cannot do that
 * @throws SystemError
 */
export function punchHole(fd: number, from: number, to: number): boolean {
  const result = attempt('fallocate', fd, punchHoleFlag | keepSize, from, to - from)
  if (result === -constants.errno.EOPNOTSUPP || result === -constants.errno.ENOSYS) return false
  if (result < 0) throw new SystemError('fallocate', -result)
  return true
}
