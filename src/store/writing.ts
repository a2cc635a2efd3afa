/** What becomes of a change that SQLite cannot write: the disk is full, or fails. See https://sqlite.org/rescode.html. */
import { failure } from '../core/errors.ts'
import type { Database } from './database.ts'

export interface Writing {
  /**
   * A change on which what happens next depends: without it nothing may be done. It is on the disk then, and so is all that was written before.
   * @throws CutoverError `failed`, in place of SQLite's own error
   */
  must<A extends unknown[], R>(write: (...args: A) => R): (...args: A) => R
  /** A note of what has been done or seen: that it is lost must not undo or stop anything. A power cut may take the latest. */
  may<A extends unknown[]>(write: (...args: A) => void): (...args: A) => void
  /** Makes the write one that a power cut does not take. */
  durably<A extends unknown[], R>(write: (...args: A) => R): (...args: A) => R
}

/** `onLost` is told of every note that could not be written. */
export function createWriting(database: Database, file: string, onLost: (error: Error) => void): Writing {
  // https://sqlite.org/pragma.html#pragma_synchronous: NORMAL, which is set, syncs the log only now and then.
  const durably: Writing['durably'] =
    (write) =>
    (...args) => {
      database.exec('PRAGMA synchronous = FULL')
      try {
        return write(...args)
      } finally {
        database.exec('PRAGMA synchronous = NORMAL')
      }
    }
  return {
    durably,
    must:
      (write) =>
      (...args) => {
        try {
          return durably(write)(...args)
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
