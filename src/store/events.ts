/** The stream of what happens on the node: kept, and told to whoever listens. */
import { EventEmitter } from 'node:events'
import { type EventDocument, schema } from '../core/documents.ts'
import type { AppName, ReleaseNumber } from '../core/words.ts'
import type { Database } from './database.ts'

export interface Events {
  add(event: string, text: string, app?: AppName, release?: ReleaseNumber): void
  /** Those after the one with this id, oldest first, the newest 1,000 at most. */
  after(id: number): EventDocument[]
  /** @returns what ends the listening */
  listen(listener: (event: EventDocument) => void): () => void
}

/** Older events are dropped beyond this many: the stream is for watching, `history` is for keeping. */
const kept = 10_000

export function openEvents(database: Database): Events {
  const emitter = new EventEmitter<{ event: [EventDocument] }>()
  emitter.setMaxListeners(0)
  const insert = database.prepare(
    'INSERT INTO events (at, app, release, event, text) VALUES (?, ?, ?, ?, ?) RETURNING id',
  )
  const drop = database.prepare('DELETE FROM events WHERE id <= ?')
  const after = database.prepare(
    'SELECT * FROM (SELECT * FROM events WHERE id > ? ORDER BY id DESC LIMIT 1000) ORDER BY id',
  )

  return {
    add: (event, text, app, release) => {
      const at = new Date().toISOString()
      const id = Number(insert.get(at, app ?? null, release ?? null, event, text)?.id)
      drop.run(id - kept)
      emitter.emit('event', { schema, id, at, app: app ?? null, release: release ?? null, event, text })
    },
    after: (id) =>
      after.all(id).map((row) => ({
        schema,
        id: Number(row.id),
        at: String(row.at),
        app: row.app === null ? null : String(row.app),
        release: row.release === null ? null : Number(row.release),
        event: String(row.event),
        text: String(row.text),
      })),
    listen: (listener) => {
      emitter.on('event', listener)
      return () => emitter.off('event', listener)
    },
  }
}
