/** What becomes of a change that SQLite cannot write, and of what it cannot read: the disk is full, or fails. See https://sqlite.org/rescode.html. */
import { type CutoverError, failure } from '../core/errors.ts'
import type { Database } from './database.ts'

export interface Writing {
  /**
   * Something that is read.
   * @throws CutoverError `failed`, in place of SQLite's own error, if the file is damaged
   */
  reads<A extends unknown[], R>(read: (...args: A) => R): (...args: A) => R
  /**
   * A change on which what happens next depends: without it nothing may be done. It is on the disk then, and so is all that was written before.
   * @throws CutoverError `failed`, in place of SQLite's own error
   */
  must<A extends unknown[], R>(write: (...args: A) => R): (...args: A) => R
  /**
   * The same of a change that another such follows at once: a power cut in between may take it.
   * @throws CutoverError `failed`, in place of SQLite's own error
   */
  ahead<A extends unknown[], R>(write: (...args: A) => R): (...args: A) => R
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
      // Within a transaction it cannot be set any more; whoever began that has.
      if (database.isTransaction) return write(...args)
      database.exec('PRAGMA synchronous = FULL')
      try {
        return write(...args)
      } finally {
        database.exec('PRAGMA synchronous = NORMAL')
      }
    }
  const ahead: Writing['ahead'] =
    (write) =>
    (...args) => {
      try {
        return write(...args)
      } catch (error) {
        if (isDamage(error)) throw damaged(file, error)
        if (!isRefusedBySqlite(error)) throw error
        throw failure(`${file} could not be written: ${error.message}. Free some room on its disk`, { cause: error })
      }
    }
  return {
    durably,
    ahead,
    reads:
      (read) =>
      (...args) => {
        try {
          return read(...args)
        } catch (error) {
          throw isDamage(error) ? damaged(file, error) : error
        }
      },
    must: (write) => ahead(durably(write)),
    may:
      (write) =>
      (...args) => {
        // Part of a transaction: all of that is lost then, or nothing.
        if (database.isTransaction) return write(...args)
        try {
          write(...args)
        } catch (error) {
          if (!isRefusedBySqlite(error) && !isDamage(error)) throw error
          onLost(error)
        }
      },
  }
}

/** SQLITE_FULL, SQLITE_IOERR, SQLITE_READONLY, SQLITE_CANTOPEN: it is not the statement that is wrong. */
const refusals = new Set([8, 10, 13, 14])

/** SQLITE_CORRUPT, SQLITE_NOTADB */
const damages = new Set([11, 26])

/** The low byte of an extended result code is the primary one. */
const codeOf = (error: unknown): number =>
  error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0

const isRefusedBySqlite = (error: unknown): error is Error => refusals.has(codeOf(error))

/** Is what the file holds no database any more? */
export const isDamage = (error: unknown): error is Error => damages.has(codeOf(error))

/** What to tell of such a file: https://sqlite.org/recovery.html. */
export const damaged = (file: string, cause: Error): CutoverError =>
  failure(
    `${file}, which holds what Cutover knows of this node, is damaged: ${cause.message}. Apps and traffic go on, but nothing can be changed. ` +
      `End the daemon if one runs (cutover daemon stop). Then put a copy of the file back, or what SQLite can save of it (sqlite3 ${file} ` +
      `.recover | sqlite3 ${file}.saved); ${file}-wal and ${file}-shm, which belong to the damaged one, must not stay beside it`,
    { cause },
  )
