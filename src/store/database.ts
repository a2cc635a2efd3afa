/** The SQLite file: its tables, and transactions. Every change of the state is one transaction; see https://sqlite.org/wal.html. */
import { chmodSync, existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { failure } from '../core/errors.ts'
import { damaged, isDamage } from './writing.ts'

export type Database = DatabaseSync

const version = 1

const tables = `
  CREATE TABLE apps (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- index in the kernel's maps, 1 to 255; null once removed, so that it can be given to another app
    slot INTEGER UNIQUE,
    directory TEXT NOT NULL,
    -- 1: it has answered HTTP while live, and has to from then on
    http INTEGER NOT NULL DEFAULT 0,
    stopped INTEGER NOT NULL DEFAULT 0,
    rolled_back TEXT
  ) STRICT;
  CREATE TABLE releases (
    app INTEGER NOT NULL REFERENCES apps,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    label TEXT,
    live_at INTEGER,
    before INTEGER,
    on_disk INTEGER NOT NULL,
    reason TEXT,
    since TEXT NOT NULL,
    config TEXT,
    owner TEXT,
    -- the PATH of whoever deployed it
    path TEXT,
    PRIMARY KEY (app, number)
  ) STRICT;
  CREATE TABLE workers (
    app INTEGER NOT NULL,
    release INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    pid INTEGER,
    -- field 22 of /proc/pid/stat: a pid alone may be somebody else's by now
    start_time INTEGER,
    restarts INTEGER NOT NULL,
    PRIMARY KEY (app, release, worker)
  ) STRICT;
  CREATE TABLE operations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app INTEGER NOT NULL REFERENCES apps,
    kind TEXT NOT NULL,
    release INTEGER,
    -- the step that is about to be done, written before it is
    step TEXT NOT NULL,
    at TEXT NOT NULL,
    by TEXT NOT NULL,
    outcome TEXT NOT NULL,
    text TEXT NOT NULL,
    receipt TEXT
  ) STRICT;
  CREATE INDEX operations_of_app ON operations (app, id);
  CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    app TEXT,
    release INTEGER,
    event TEXT NOT NULL,
    text TEXT NOT NULL
  ) STRICT;
`

/**
 * Opens the database, and makes it if it is not there.
 * @throws CutoverError `failed` if it was written by a newer version, or is damaged, or is no database.
 */
export const openDatabase = (file: string): Database =>
  inWords(file, () => {
    const database = new DatabaseSync(file, { timeout: 5000 })
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON')
    chmodSync(file, 0o600)
    const found = versionOf(database)
    if (found > version) {
      database.close()
      throw tooNew(file, found)
    }
    requireWhole(file, database)
    if (found === 0) transaction(database, () => database.exec(`${tables}; PRAGMA user_version = ${version}`))
    return database
  })

/** Damage is found now, not at some later moment when something is half done: https://sqlite.org/pragma.html#pragma_quick_check. */
function requireWhole(file: string, database: Database): void {
  // It begins with a line that names the database.
  const first = String(database.prepare('PRAGMA quick_check(1)').get()?.quick_check).replace(/^\*\*\* .*\n/, '')
  if (first === 'ok') return
  database.close()
  throw damaged(file, new Error(first))
}

/**
 * Looks whether this version knows the tables of that file, and changes nothing. One that is not there will do.
 * @throws CutoverError `failed` if it was written by a newer version, or is no database
 */
export const requireKnownDatabase = (file: string): void =>
  inWords(file, () => {
    if (!existsSync(file)) return
    using database = new DatabaseSync(file, { readOnly: true, timeout: 5000 })
    const found = versionOf(database)
    if (found > version) throw tooNew(file, found)
  })

/** What SQLite throws while the file is opened becomes a word for people. */
function inWords<T>(file: string, open: () => T): T {
  try {
    return open()
  } catch (error) {
    if (isDamage(error)) throw damaged(file, error)
    if (error instanceof Error && 'errcode' in error) throw failure(`${file}: ${error.message}`, { cause: error })
    throw error
  }
}

const versionOf = (database: Database): number => Number(database.prepare('PRAGMA user_version').get()?.user_version)

const tooNew = (file: string, found: number) =>
  failure(`${file} was written by a newer Cutover (layout ${found}; this one knows ${version}); nothing was changed`)

/** Runs `change` in one transaction: all of it is in the file at the end, or nothing. One within another is part of that. */
export function transaction<T>(database: Database, change: () => T): T {
  if (database.isTransaction) return change()
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = change()
    database.exec('COMMIT')
    return result
  } catch (error) {
    // SQLite has ended it already where it could not write: https://sqlite.org/lang_transaction.html, section 3
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}
