/** Apps and their releases, as the store keeps them. The only way to change a state is {@link Apps.change}, through the core's table. */
import { type AppEvent, type AppState, apply, findRelease, type ReleaseRecord } from '../core/app.ts'
import type { AppConfig } from '../core/app-config.ts'
import { refusal } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import type { AppId, AppName, ReleaseNumber } from '../core/words.ts'
import type { ProcessIdentity } from '../linux/process.ts'
import type { User } from '../linux/users.ts'
import { type Database, transaction } from './database.ts'

export interface App {
  readonly name: AppName
  /** Its index in the kernel's maps. */
  readonly slot: AppId
  /** The folder that was deployed last. */
  readonly directory: string
  /** It has answered HTTP while live. */
  readonly http: boolean
}

/** A worker's main process (null while it is down), and how often it was started again. */
export interface WorkerRecord {
  readonly worker: number
  readonly identity: ProcessIdentity | null
  readonly restarts: number
}

/** What a release was made with. */
export interface Kept {
  readonly config: AppConfig
  readonly owner: User
  /** The PATH of whoever deployed it. */
  readonly path: string
}

export interface Apps {
  /** Every app that was not removed, by name. */
  list(): App[]
  find(name: AppName): App | null
  /** @throws CutoverError `refused` if there is no such app */
  get(name: AppName): App
  /** The app of that name, made if need be; its folder is the given one from now on. */
  open(name: AppName, directory: string): App
  speaksHttp(name: AppName): void
  /** Gives the slot back. Numbers and history stay, so that no release number is ever used again. */
  forget(name: AppName): void

  state(name: AppName): AppState
  /**
   * Applies the event to the state in one transaction; what the table does not allow throws and changes nothing.
   * @param kept with `stage`: what the release is made with
   */
  change(name: AppName, event: AppEvent, kept?: Kept): AppState
  config(name: AppName, release: ReleaseNumber): Kept
  /** The uids of all users that a release of it was ever made for. */
  uids(name: AppName): number[]

  workers(name: AppName, release: ReleaseNumber): WorkerRecord[]
  keepWorkers(name: AppName, release: ReleaseNumber, workers: readonly WorkerRecord[]): void
}

/** Most apps of one node: the size of the kernel's map. */
const maxApps = 255

export function openApps(database: Database): Apps {
  const sql = {
    list: database.prepare('SELECT * FROM apps WHERE slot IS NOT NULL ORDER BY name'),
    any: database.prepare('SELECT * FROM apps WHERE name = ?'),
    insert: database.prepare('INSERT INTO apps (name, slot, directory) VALUES (?, ?, ?)'),
    place: database.prepare('UPDATE apps SET slot = ?, directory = ? WHERE id = ?'),
    http: database.prepare('UPDATE apps SET http = 1 WHERE name = ?'),
    forget: database.prepare('UPDATE apps SET slot = NULL, http = 0, stopped = 0, rolled_back = NULL WHERE name = ?'),
    flags: database.prepare('UPDATE apps SET stopped = ?, rolled_back = ? WHERE id = ?'),
    releases: database.prepare('SELECT * FROM releases WHERE app = ? ORDER BY number'),
    release: database.prepare('SELECT config, owner, path FROM releases WHERE app = ? AND number = ?'),
    put: database.prepare(`INSERT INTO releases (app, number, state, label, live_at, before, on_disk, reason, since)
      VALUES (:app, :number, :state, :label, :live_at, :before, :on_disk, :reason, :since)
      ON CONFLICT DO UPDATE SET state = excluded.state, label = excluded.label, live_at = excluded.live_at,
        before = excluded.before, on_disk = excluded.on_disk, reason = excluded.reason, since = excluded.since`),
    forgetRelease: database.prepare('DELETE FROM releases WHERE app = ? AND number = ?'),
    config: database.prepare('UPDATE releases SET config = ?, owner = ?, path = ? WHERE app = ? AND number = ?'),
    uids: database.prepare(`SELECT DISTINCT owner ->> 'uid' AS uid FROM releases WHERE app = ? AND owner IS NOT NULL`),
    workers: database.prepare('SELECT * FROM workers WHERE app = ? AND release = ? ORDER BY worker'),
    noWorkers: database.prepare('DELETE FROM workers WHERE app = ? AND release = ?'),
    worker: database.prepare('INSERT INTO workers VALUES (?, ?, ?, ?, ?, ?)'),
  }

  // What SQLite gives back has the columns of the table, which the types of node:sqlite cannot know.
  const rows = () => sql.list.all() as unknown as Row[]
  const anyRow = (name: AppName) => sql.any.get(name) as unknown as Row | undefined

  const row = (name: AppName): Row => {
    const found = anyRow(name)
    if (found === undefined || found.slot === null) throw noApp(name)
    return found
  }

  const noApp = (name: AppName) => {
    const near = nearest(
      name,
      rows().map((app) => app.name),
    )
    return refusal(`There is no app ${name} on this node.${near === null ? '' : ` Did you mean ${near}?`}`)
  }

  const load = (app: Row): AppState => ({
    stopped: app.stopped === 1,
    rolledBack: app.rolled_back === null ? null : JSON.parse(String(app.rolled_back)),
    releases: sql.releases.all(app.id).map(releaseRecord),
  })

  const freeSlot = (): AppId => {
    const taken = new Set(rows().map((app) => app.slot))
    for (let slot = 1; slot <= maxApps; slot++) if (!taken.has(slot)) return slot
    throw refusal(`This node has ${maxApps} apps, which is as many as it can steer. Remove one first.`)
  }

  return {
    list: () => rows().map(appOf),
    find: (name) => {
      const found = anyRow(name)
      return found === undefined || found.slot === null ? null : appOf(found)
    },
    get: (name) => appOf(row(name)),
    open: (name, directory) =>
      transaction(database, () => {
        const found = anyRow(name)
        if (found === undefined) sql.insert.run(name, freeSlot(), directory)
        else sql.place.run(found.slot ?? freeSlot(), directory, found.id)
        return appOf(row(name))
      }),
    speaksHttp: (name) => void sql.http.run(name),
    forget: (name) =>
      transaction(database, () => {
        const { id } = row(name)
        for (const { number } of load(row(name)).releases) sql.noWorkers.run(id, number)
        sql.forget.run(name)
      }),
    state: (name) => load(row(name)),
    change: (name, event, kept) =>
      transaction(database, () => {
        const app = row(name)
        const before = load(app)
        const after = apply(before, event)
        for (const release of after.releases)
          if (!before.releases.includes(release)) sql.put.run(columns(app.id, release))
        for (const { number } of before.releases)
          if (findRelease(after, number) === null) sql.forgetRelease.run(app.id, number)
        sql.flags.run(
          after.stopped ? 1 : 0,
          after.rolledBack === null ? null : JSON.stringify(after.rolledBack),
          app.id,
        )
        if (event.type === 'stage' && kept !== undefined) {
          const { config, owner, path } = kept
          sql.config.run(JSON.stringify(config), JSON.stringify(owner), path, app.id, event.release)
        }
        return after
      }),
    config: (name, release) => {
      const found = sql.release.get(row(name).id, release)
      return {
        config: JSON.parse(String(found?.config)),
        owner: JSON.parse(String(found?.owner)),
        path: String(found?.path),
      }
    },
    uids: (name) => sql.uids.all(row(name).id).map(({ uid }) => Number(uid)),
    workers: (name, release) =>
      sql.workers.all(row(name).id, release).map((worker) => ({
        worker: Number(worker.worker),
        identity: worker.pid === null ? null : { pid: Number(worker.pid), startTime: Number(worker.start_time) },
        restarts: Number(worker.restarts),
      })),
    keepWorkers: (name, release, workers) =>
      transaction(database, () => {
        const { id } = row(name)
        sql.noWorkers.run(id, release)
        for (const { worker, identity, restarts } of workers)
          sql.worker.run(id, release, worker, identity?.pid ?? null, identity?.startTime ?? null, restarts)
      }),
  }
}

interface Row {
  readonly id: number
  readonly name: string
  readonly slot: number | null
  readonly directory: string
  readonly http: number
  readonly stopped: number
  readonly rolled_back: string | null
}

const appOf = (row: Row): App => ({
  name: row.name,
  slot: row.slot ?? 0,
  directory: row.directory,
  http: row.http === 1,
})

const numberOrNull = (value: unknown): number | null => (value === null ? null : Number(value))
const textOrNull = (value: unknown): string | null => (value === null ? null : String(value))

const releaseRecord = (row: Record<string, unknown>): ReleaseRecord => ({
  number: Number(row.number),
  state: row.state as ReleaseRecord['state'],
  label: textOrNull(row.label),
  liveAt: numberOrNull(row.live_at),
  before: numberOrNull(row.before),
  onDisk: row.on_disk === 1,
  reason: textOrNull(row.reason),
  since: String(row.since),
})

const columns = (app: number, release: ReleaseRecord) => ({
  app,
  number: release.number,
  state: release.state,
  label: release.label,
  live_at: release.liveAt,
  before: release.before,
  on_disk: release.onDisk ? 1 : 0,
  reason: release.reason,
  since: release.since,
})
