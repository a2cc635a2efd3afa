/** What the node knows, on disk: apps and releases, operations, events. One SQLite file; the files of the releases lie beside it. */
import { type Apps, openApps } from './apps.ts'
import { openDatabase } from './database.ts'
import { type Events, openEvents } from './events.ts'
import { type Operations, openOperations } from './operations.ts'

export interface Store {
  readonly apps: Apps
  readonly operations: Operations
  readonly events: Events
  close(): void
}

/** @throws CutoverError `failed` if the file is no database, or of a newer layout */
export function openStore(file: string): Store {
  const database = openDatabase(file)
  return {
    apps: openApps(database),
    operations: openOperations(database),
    events: openEvents(database),
    close: () => database.close(),
  }
}
