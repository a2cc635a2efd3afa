/** Where everything lives: the one place that knows the layout of `$CUTOVER_HOME`. */
import { createHash } from 'node:crypto'
import { mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'

export interface Home {
  readonly directory: string
  /** Names this home among several on one machine, in cgroups and pins: eight hex digits of its path. */
  readonly id: string
  readonly database: string
  /** Where Cutover mounts a bpffs of its own if the machine has none. */
  readonly bpffs: string
  /** Which release has which place on a shared port. */
  readonly places: string
  readonly logs: (app: AppName) => string
  readonly log: (app: AppName, release: ReleaseNumber) => string
  readonly releases: (app: AppName) => string
  readonly release: (app: AppName, release: ReleaseNumber) => string
  readonly shared: (app: AppName) => string
}

/** Makes the directory if need be. It is open to look through, since apps run in it as other users; what is secret in it is 0600. */
export function openHome(path: string): Home {
  mkdirSync(path, { recursive: true, mode: 0o755 })
  const directory = realpathSync(path)
  const logs = (app: AppName) => join(directory, 'logs', app)
  const releases = (app: AppName) => join(directory, 'releases', app)
  return {
    directory,
    id: createHash('sha256').update(directory).digest('hex').slice(0, 8),
    database: join(directory, 'cutover.db'),
    bpffs: join(directory, 'bpf'),
    places: join(directory, 'places.json'),
    logs,
    log: (app, release) => join(logs(app), `${named(release)}.log`),
    releases,
    release: (app, release) => join(releases(app), named(release)),
    shared: (app) => join(directory, 'shared', app),
  }
}
