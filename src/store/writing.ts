/** What becomes of a change that SQLite cannot write: the disk is full, or fails. See https://sqlite.org/rescode.html. */
import { failure } from '../core/errors.ts'

export interface Writing {
  /**
   * A change on which what happens next depends: without it nothing may be done.
   * @throws CutoverError `failed`, in place of SQLite's own error
   */
  must<A extends unknown[], R>(write: (...args: A) => R): (...args: A) => R
  /** A note of what has been done or seen: that it is lost must not undo or stop anything. */
  may<A extends unknown[]>(write: (...args: A) => void): (...args: A) => void
}

/** `onLost` is told of every note that could not be written. */
export function createWriting(file: string, onLost: (error: Error) => void): Writing {
  return {
    must:
      (write) =>
      (...args) => {
        try {
          return write(...args)
        } catch (error) {
          if (!isRefusedBySqlite(error)) throw error
          throw failure(`${file} could not be written: ${error.message}. Free some room on its disk`, { cause: error })
        }
      },
    may:
      (write) =>
      (...args) => {
        try {
          write(...args)
        } catch (error) {
          if (!isRefusedBySqlite(error)) throw error
          onLost(error)
        }
      },
  }
}

/** SQLITE_FULL, SQLITE_IOERR, SQLITE_READONLY, SQLITE_CANTOPEN: it is not the statement that is wrong. */
const refusals = new Set([8, 10, 13, 14])

/** The low byte of an extended result code is the primary one. */
const isRefusedBySqlite = (error: unknown): error is Error =>
  error instanceof Error && 'errcode' in error && refusals.has(Number(error.errcode) & 0xff)
