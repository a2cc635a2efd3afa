/** What the node knows, on disk: apps and releases, operations, events. One SQLite file; the files of the releases lie beside it. */
import { type Apps, openApps } from './apps.ts'
import { openDatabase, transaction } from './database.ts'
import { type Events, openEvents } from './events.ts'
import { type Operations, openOperations } from './operations.ts'
import { createWriting } from './writing.ts'

export interface Store {
  readonly apps: Apps
  readonly operations: Operations
  readonly events: Events
  /**
   * Makes all of these changes, or none. It has to be written, whatever they are.
   * @throws CutoverError `failed` if it cannot be
   */
  together(changes: () => void): void
  close(): void
}

/**
 * What happens next depends on the state and the steps: if they cannot be written, that throws. Everything else is a note of what was done
 * or seen: where the disk is full it is lost, and `onLost` told, but apps go on. What cannot be read because the file is damaged throws.
 * @throws CutoverError `failed` if the file is damaged or no database, or of a newer layout
 */
export function openStore(file: string, onLost: (error: Error) => void): Store {
  const database = openDatabase(file)
  const { reads, must, ahead, may, durably } = createWriting(database, file, onLost)
  const apps = openApps(database)
  const operations = openOperations(database)
  const events = openEvents(database)
  const step = { said: must(operations.step), saidAhead: ahead(operations.step) }
  return {
    apps: {
      list: reads(apps.list),
      find: reads(apps.find),
      get: reads(apps.get),
      state: reads(apps.state),
      config: reads(apps.config),
      uids: reads(apps.uids),
      workers: reads(apps.workers),
      open: must(apps.open),
      change: must(apps.change),
      forget: must(apps.forget),
      speaksHttp: may(apps.speaksHttp),
      keepWorkers: may(apps.keepWorkers),
    },
    operations: {
      unfinished: reads(operations.unfinished),
      knows: reads(operations.knows),
      cutOf: reads(operations.cutOf),
      history: reads(operations.history),
      // Its first step is written next.
      begin: ahead(operations.begin),
      // So is the new state of the app where traffic moves, which nothing else is to hold up.
      step: (id, name) => (name === 'cutover' ? step.saidAhead : step.said)(id, name),
      // Whoever asked is told it next.
      end: may(durably(operations.end)),
      note: may(operations.note),
      cut: may(operations.cut),
    },
    events: { after: reads(events.after), listen: events.listen, add: may(events.add) },
    together: must((changes: () => void) => transaction(database, changes)),
    close: () => database.close(),
  }
}
