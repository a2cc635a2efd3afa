/** What is done about the logs of apps while they grow: their times are kept, and their oldest part is let go where they become too large. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type AppName, named } from '../core/words.ts'
import { boundLogs } from '../instances/log-hole.ts'
import { markLogTimes } from '../instances/log-times.ts'
import type { Home } from '../store/home.ts'
import type { Store } from '../store/store.ts'
import type { Log } from './engine.ts'

export interface LogWatches {
  /** Looks after what the app logs from now on; each app has one watch. */
  watchLogs(app: AppName): void
  /** Ends the watch of this app, or of all. */
  unwatchLogs(app?: AppName): void
}

export function createLogWatches(home: Home, store: Store, log: Log): LogWatches {
  const watches = new Map<AppName, DisposableStack>()

  const unbounded = (app: AppName, file: string, max: number) => {
    const text =
      `${join(home.logs(app), file)} has passed ${megabytes(max)} MB (logs: {max}) and goes on growing: ` +
      'its file system cannot let go of the beginning of a file (fallocate, FALLOC_FL_PUNCH_HOLE)'
    log.warn({ app }, text)
    store.events.add('log-unbounded', text, app, releaseOf(file) ?? undefined)
  }

  return {
    watchLogs: (app) => {
      if (watches.has(app)) return
      mkdirSync(home.logs(app), { recursive: true })
      const watch = new DisposableStack()
      watch.use(markLogTimes(home.logs(app)))
      watch.use(
        boundLogs(home.logs(app), {
          maxOf: limits(app, store),
          unbounded: (file, max) => unbounded(app, file, max),
        }),
      )
      watches.set(app, watch)
    },
    unwatchLogs: (app) => {
      for (const [name, watch] of watches) {
        if (app !== undefined && app !== name) continue
        watch.dispose()
        watches.delete(name)
      }
    },
  }
}

/** What `logs: {max}` of each release says; a release's config never changes. */
function limits(app: AppName, store: Store): (log: string) => number {
  const known = new Map<string, number>()
  return (log) => {
    const before = known.get(log)
    if (before !== undefined) return before
    const release = store.apps.state(app).releases.find(({ number }) => number === releaseOf(log))
    if (release === undefined) return usualMax
    // Releases of an earlier version of Cutover have no such key.
    const max = store.apps.config(app, release.number).config.logMaxBytes ?? usualMax
    known.set(log, max)
    return max
  }
}

const usualMax = 100_000_000

/** The release of `v4.log`. */
const releaseOf = (log: string): number | null => {
  const number = Number(/^v(\d+)\.log$/.exec(log)?.[1] ?? 0)
  return log === `${named(number)}.log` ? number : null
}

const megabytes = (bytes: number): string => (bytes / 1_000_000).toFixed(0)
