/**
 * What was asked for and what became of it. The step of an operation is written before it is done, so that a daemon that finds an
 * operation still running knows how far the one before it can have come.
 */
import type { Actor, HistoryEntry, OperationKind, Receipt } from '../core/documents.ts'
import type { AppName, ReleaseNumber } from '../core/words.ts'
import { type Database, transaction } from './database.ts'

export interface Operation {
  readonly id: number
  readonly app: AppName
  readonly kind: OperationKind
  readonly release: ReleaseNumber | null
  /** The last one that was written down; `stop` and `cutover` are steps, for example. */
  readonly step: string
  readonly at: string
  readonly by: Actor
}

export interface Operations {
  /** The one operation of the app from here on. */
  begin(app: AppName, kind: OperationKind, release: ReleaseNumber | null, step: string, by: Actor): number
  step(id: number, step: string): void
  end(id: number, outcome: 'done' | 'failed' | 'aborted', text: string, receipt?: Receipt): void
  /** Something that happened by itself, begun and ended at once. */
  note(
    app: AppName,
    kind: HistoryEntry['kind'],
    release: ReleaseNumber | null,
    outcome: 'done' | 'failed',
    text: string,
  ): void
  /** Operations that no daemon has ended, oldest first. */
  unfinished(): Operation[]
  /** Whether there ever was an app of that name. */
  knows(app: AppName): boolean
  /** The newest 500, oldest first. */
  history(app?: AppName): HistoryEntry[]
  /**
   * So many connections of this release are cut at the end of its drain: written into the newest receipt that left it. Said once more, by
   * whoever goes on with it, the higher number counts, since no new ones come to such a release.
   */
  cut(app: AppName, release: ReleaseNumber, connections: number): void
  /** What that receipt says now; 0 if there is none. */
  cutOf(app: AppName, release: ReleaseNumber): number
}

/** Of each app; older ones are dropped beyond this many. */
const kept = 1000

const nobody: Actor = { uid: 0, name: 'cutover', from: null }
const now = () => new Date().toISOString()

export function openOperations(database: Database): Operations {
  const appId = '(SELECT id FROM apps WHERE name = ?)'
  const sql = {
    begin: database.prepare(
      `INSERT INTO operations (app, kind, release, step, at, by, outcome, text) VALUES (${appId}, ?, ?, ?, ?, ?, 'running', '') RETURNING id`,
    ),
    supersede: database.prepare(
      `UPDATE operations SET outcome = 'failed', text = 'how it ended could not be written down' WHERE app = ${appId} AND outcome = 'running'`,
    ),
    drop: database.prepare(
      `DELETE FROM operations WHERE app = ${appId} AND outcome != 'running' AND id <=
         (SELECT id FROM operations WHERE app = ${appId} ORDER BY id DESC LIMIT 1 OFFSET ${kept})`,
    ),
    step: database.prepare('UPDATE operations SET step = ? WHERE id = ?'),
    end: database.prepare('UPDATE operations SET outcome = ?, text = ?, receipt = ? WHERE id = ?'),
    unfinished: database.prepare(
      `SELECT operations.*, apps.name FROM operations JOIN apps ON apps.id = operations.app WHERE outcome = 'running' ORDER BY operations.id`,
    ),
    knows: database.prepare('SELECT 1 FROM apps WHERE name = ?'),
    history: database.prepare(
      `SELECT operations.*, apps.name FROM operations JOIN apps ON apps.id = operations.app
       WHERE ?1 IS NULL OR apps.name = ?1 ORDER BY operations.id DESC LIMIT 500`,
    ),
    left: database.prepare(
      `SELECT id, receipt FROM operations WHERE app = ${appId} AND json_extract(receipt, '$.previous') = ? ORDER BY id DESC LIMIT 1`,
    ),
    receipt: database.prepare('UPDATE operations SET receipt = ? WHERE id = ?'),
  }
  const begin = (
    app: AppName,
    kind: HistoryEntry['kind'],
    release: ReleaseNumber | null,
    step: string,
    by: Actor,
  ): number => {
    const id = Number(sql.begin.get(app, kind, release, step, now(), JSON.stringify(by))?.id)
    sql.drop.run(app, app)
    return id
  }
  const end: Operations['end'] = (id, outcome, text, receipt) =>
    void sql.end.run(outcome, text, receipt === undefined ? null : JSON.stringify(receipt), id)

  return {
    // An app has one operation at a time: an older one that still counts as running could not be ended. Were it left so, the next daemon would go on
    // with it, as with a remove of long ago.
    begin: (app, ...what) =>
      transaction(database, () => {
        sql.supersede.run(app)
        return begin(app, ...what)
      }),
    step: (id, step) => void sql.step.run(step, id),
    end,
    note: (app, kind, release, outcome, text) =>
      transaction(database, () => end(begin(app, kind, release, kind, nobody), outcome, text)),
    unfinished: () =>
      sql.unfinished.all().map((row) => ({
        id: Number(row.id),
        app: String(row.name),
        kind: row.kind as Operation['kind'],
        release: row.release === null ? null : Number(row.release),
        step: String(row.step),
        at: String(row.at),
        by: JSON.parse(String(row.by)),
      })),
    knows: (app) => sql.knows.get(app) !== undefined,
    history: (app) =>
      sql.history
        .all(app ?? null)
        .reverse()
        .map((row) => ({
          id: Number(row.id),
          app: String(row.name),
          kind: row.kind as HistoryEntry['kind'],
          release: row.release === null ? null : Number(row.release),
          at: String(row.at),
          by: JSON.parse(String(row.by)),
          outcome: row.outcome as HistoryEntry['outcome'],
          text: String(row.text),
          receipt: row.receipt === null ? null : JSON.parse(String(row.receipt)),
        })),
    cut: (app, release, connections) => {
      const row = sql.left.get(app, release)
      if (row === undefined) return
      const receipt: Receipt = JSON.parse(String(row.receipt))
      const lost = { ...receipt.lost, cut: Math.max(receipt.lost.cut, connections) }
      sql.receipt.run(JSON.stringify({ ...receipt, lost }), Number(row.id))
    },
    cutOf: (app, release) => {
      const row = sql.left.get(app, release)
      return row === undefined ? 0 : (JSON.parse(String(row.receipt)) as Receipt).lost.cut
    },
  }
}
