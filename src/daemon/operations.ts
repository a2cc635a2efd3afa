/** The operations that run now, so that they can be interrupted: by the client that asked, by its death, by the daemon's end. */
import { refusal } from '../core/errors.ts'

export interface Operations {
  /** Runs an operation with a signal that aborts when `gone` does, when its id is interrupted, or when all are. */
  run<T>(id: string | null, gone: AbortSignal, act: (signal: AbortSignal) => Promise<T>): Promise<T>
  /** False if no such operation runs (any more). */
  interrupt(id: string): boolean
  /** Resolves in a moment in which none runs. @throws the signal's reason if it aborts first. */
  quiet(signal: AbortSignal): Promise<void>
  /** Interrupts all, refuses others, and resolves when they have ended. */
  end(): Promise<void>
}

export function createOperations(): Operations {
  const ending = new AbortController()
  const named = new Map<string, AbortController>()
  const running = new Set<Promise<unknown>>()

  return {
    async run(id, gone, act) {
      if (ending.signal.aborted) throw refusal('The daemon is about to end. Nothing was begun: ask again.')
      const asked = new AbortController()
      if (id !== null) named.set(id, asked)
      const work = act(AbortSignal.any([gone, asked.signal, ending.signal]))
      running.add(work)
      try {
        return await work
      } finally {
        running.delete(work)
        if (id !== null) named.delete(id)
      }
    },
    interrupt(id) {
      const asked = named.get(id)
      asked?.abort(new Error('interrupted'))
      return asked !== undefined
    },
    async quiet(signal) {
      const { promise: gone, resolve } = Promise.withResolvers<void>()
      signal.addEventListener('abort', () => resolve())
      while (running.size > 0 && !signal.aborted) await Promise.race([Promise.allSettled(running), gone])
      signal.throwIfAborted()
    },
    async end() {
      ending.abort(new Error('the daemon ends'))
      await Promise.allSettled(running)
    },
  }
}
