/** The operations that run now, so that they can be interrupted: by the client that asked, by its death, by the daemon's end. */

export interface Operations {
  /** Runs an operation with a signal that aborts when `gone` does, when its id is interrupted, or when all are. */
  run<T>(id: string | null, gone: AbortSignal, act: (signal: AbortSignal) => Promise<T>): Promise<T>
  /** False if no such operation runs (any more). */
  interrupt(id: string): boolean
  /** Interrupts all, now and in future, and resolves when they have ended. */
  end(): Promise<void>
}

export function createOperations(): Operations {
  const ending = new AbortController()
  const named = new Map<string, AbortController>()
  const running = new Set<Promise<unknown>>()

  return {
    async run(id, gone, act) {
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
    async end() {
      ending.abort(new Error('the daemon ends'))
      await Promise.allSettled(running)
    },
  }
}
