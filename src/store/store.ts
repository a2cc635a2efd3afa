/** What the node knows, on disk: apps and releases, operations, events. One SQLite file; the files of the releases lie beside it. */
import { type Apps, openApps } from './apps.ts'
import { openDatabase } from './database.ts'
import { type Events, openEvents } from './events.ts'
import { type Operations, openOperations } from './operations.ts'
import { createWriting } from './writing.ts'

export interface Store {
  readonly apps: Apps
  readonly operations: Operations
  readonly events: Events
  close(): void
}

/**
 * What happens next depends on the state and the steps: if they cannot be written, that throws. Everything else is a note of what was done
 * or seen: where the disk is full it is lost, and `onLost` told, but apps go on.
 * @throws CutoverError `failed` if the file is no database, or of a newer layout
 */
export function openStore(file: string, onLost: (error: Error) => void): Store {
  const database = openDatabase(file)
  const { must, may, durably } = createWriting(database, file, onLost)
  const apps = openApps(database)
  const operations = openOperations(database)
  const events = openEvents(database)
  return {
    apps: {
      ...apps,
      open: must(apps.open),
      change: must(apps.change),
      forget: must(apps.forget),
      speaksHttp: may(apps.speaksHttp),
      keepWorkers: may(apps.keepWorkers),
    },
    operations: {
      ...operations,
      begin: must(operations.begin),
      step: must(operations.step),
      // Whoever asked is told it next.
      end: may(durably(operations.end)),
      note: may(operations.note),
      cut: may(operations.cut),
    },
    events: { ...events, add: may(events.add) },
    close: () => database.close(),
  }
}
