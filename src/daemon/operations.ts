/**
 * The operations that run now: who watches them, and what interrupts them. An operation goes on for a while without anybody who watches, so that a
 * client that lost its connection can come back to it.
 */
import type { Progress } from '../core/documents.ts'
import { refusal } from '../core/errors.ts'
import type { Report } from '../engine/engine.ts'
import { createProgressQueue } from './progress-queue.ts'

/** How long an operation waits for somebody to watch it; also how long its end is kept for who comes late. */
const patienceMs = 5000

const goesOn: Progress = {
  type: 'warning',
  text: 'this was under way and had lost its client; it goes on with the files that it has',
}

interface Wish {
  /** The name that its client gave it. */
  readonly id: string
  /** The same for two requests that want the same done. */
  readonly what: string
  /** Does it, and resolves with the last that is to be told; never rejects. */
  readonly act: (report: Report, signal: AbortSignal) => Promise<Progress>
}

export interface Operations {
  /**
   * Begins the operation, to be watched at once. Its signal aborts when nobody has watched for 5 s, when it is interrupted, or when all are.
   * Where the same one runs and has lost its client, the new client gets that one.
   * @throws CutoverError `refused` once all are interrupted
   */
  begin(wish: Wish): Watching
  /** The operation of that name, if it runs or has ended a moment ago. */
  find(id: string): Watching | null
  /** False if no such operation runs (any more). */
  interrupt(id: string): boolean
  /** Resolves in a moment in which none runs. @throws the signal's reason if it aborts first. */
  quiet(signal: AbortSignal): Promise<void>
  /** Interrupts all, refuses others, and resolves when they have ended. */
  end(): Promise<void>
}

/** What an operation says, until its end or the client's: first what was told already, output and the first `known` of the rest left out. */
export type Watching = (known: number, gone: AbortSignal) => AsyncIterable<Progress>

interface Running {
  readonly what: string
  readonly interrupt: () => void
  readonly tell: (progress: Progress) => void
  readonly watch: Watching
  /** It goes on, and nobody watches. */
  readonly isLost: () => boolean
}

export function createOperations(): Operations {
  const ending = new AbortController()
  const named = new Map<string, Running>()
  const running = new Set<Promise<void>>()

  const run = ({ what, act }: Wish): Running => {
    const interrupted = new AbortController()
    const told = createAudience(() => interrupted.abort(new Error('its client went away')))
    const signal = AbortSignal.any([interrupted.signal, ending.signal])
    const interrupt = () => interrupted.abort(new Error('interrupted'))
    const isLost = () => !signal.aborted && !told.isWatched()
    const operation = { what, interrupt, tell: told.tell, watch: told.watch, isLost }
    const forget = () => {
      for (const [id, one] of named) if (one === operation) named.delete(id)
    }
    // Not before its client watches, who is to hear the first word.
    const begun = Promise.resolve().then(() => act(told.tell, signal))
    const work = begun.then((last) => {
      told.end(last)
      running.delete(work)
      setTimeout(forget, patienceMs).unref()
    })
    running.add(work)
    return operation
  }

  return {
    begin(wish) {
      if (ending.signal.aborted) throw refusal('The daemon is about to end. Nothing was begun: ask again.')
      const lost = [...named.values()].find((one) => one.what === wish.what && one.isLost())
      lost?.tell(goesOn)
      const operation = lost ?? run(wish)
      named.set(wish.id, operation)
      return operation.watch
    },
    find: (id) => named.get(id)?.watch ?? null,
    interrupt(id) {
      named.get(id)?.interrupt()
      return named.has(id)
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

/** Those who watch one operation. `abandoned` is called when there has been nobody for too long. */
function createAudience(abandoned: () => void) {
  /** All that was told but output, which only who watches gets. */
  const told: Progress[] = []
  /** Each with what ends the waiting for its client to go. */
  const watchers = new Map<ReturnType<typeof createProgressQueue>, () => void>()
  let ended = false
  let alone: NodeJS.Timeout | undefined

  const tell = (progress: Progress): void => {
    if (progress.type !== 'output') told.push(progress)
    for (const watcher of watchers.keys()) watcher.push(progress)
  }
  return {
    tell,
    isWatched: () => ended || watchers.size > 0,
    end: (last: Progress) => {
      tell(last)
      ended = true
      // A request's signal lives as long as what listens to it refers to the request: it would never be let go.
      for (const [watcher, forget] of watchers) {
        watcher.end()
        forget()
      }
      watchers.clear()
    },
    watch: (known: number, gone: AbortSignal): AsyncIterable<Progress> => {
      clearTimeout(alone)
      const queue = createProgressQueue()
      for (const progress of told.slice(known)) queue.push(progress)
      if (ended) {
        queue.end()
        return queue
      }
      const leave = () => {
        watchers.delete(queue)
        if (watchers.size === 0 && !ended) alone = setTimeout(abandoned, patienceMs).unref()
      }
      watchers.set(queue, () => gone.removeEventListener('abort', leave))
      gone.addEventListener('abort', leave, { once: true })
      if (gone.aborted) leave()
      return queue
    },
  }
}
