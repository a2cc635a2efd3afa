/** Locks that die with their owner. See flock(2). */
import { closeSync, constants, openSync } from 'node:fs'
import { attempt, Descriptor, SystemError } from './ffi.ts'

const exclusive = 2
const nonBlocking = 4

/**
 * Takes the exclusive lock of the file, which is made if need be (mode 0600), and keeps it for as long as the descriptor is open: until it is
 * disposed or this process ends, however it ends. Null if somebody else has it.
 */
export function lockFile(path: string): Descriptor | null {
  // Node opens with O_CLOEXEC: what this process starts does not keep the lock.
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  const result = attempt('flock', fd, exclusive | nonBlocking)
  if (result >= 0) return new Descriptor(fd)
  closeSync(fd)
  const error = new SystemError('flock', -result, path)
  if (error.code === 'EAGAIN') return null
  throw error
}
