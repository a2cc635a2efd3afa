/** One operation at a time for each app. The locks are this process's memory, so that they die with their owner. */
import type { Actor } from '../core/documents.ts'
import { spokenDuration } from '../core/duration.ts'
import { refusal } from '../core/errors.ts'
import type { AppName } from '../core/words.ts'

export interface Lock extends Disposable {
  /** Says more precisely what is being done. */
  isFor(what: string): void
}

export interface Locks {
  /** @throws CutoverError `refused`, saying who is doing what since when */
  take(app: AppName, what: string, by: Actor): Lock
  /** `deploy of v6 by ann since 10 s`, or null. */
  holder(app: AppName): string | null
}

export function createLocks(): Locks {
  const held = new Map<AppName, { readonly what: string; readonly by: Actor; readonly since: number }>()
  const holder = (app: AppName): string | null => {
    const lock = held.get(app)
    return lock ? `${lock.what} by ${lock.by.name} since ${spokenDuration(performance.now() - lock.since)}` : null
  }
  return {
    holder,
    take: (app, what, by) => {
      const busy = holder(app)
      if (busy !== null) throw refusal(`${app} is busy: ${busy}. Nothing was changed.`)
      const since = performance.now()
      const isFor = (what: string) => void held.set(app, { what, by, since })
      isFor(what)
      return { isFor, [Symbol.dispose]: () => void held.delete(app) }
    },
  }
}
