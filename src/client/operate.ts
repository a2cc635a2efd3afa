/** Deploy, rollback, restart, stop, start, remove: asked for, watched, interrupted. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { OperationKind, Progress, Receipt } from '../core/documents.ts'
import { CutoverError, type ErrorKind, exitCodes } from '../core/errors.ts'
import type { AppName } from '../core/words.ts'
import { operationHeader } from '../daemon/headers.ts'
import type { DeployRequest, RollbackRequest } from '../engine/engine.ts'
import { accepted } from './answer.ts'
import type { Calls } from './call.ts'
import { documentsOf } from './lines.ts'
import type { Answer } from './transport.ts'

export type Operation =
  | ({ readonly kind: 'deploy' } & DeployRequest)
  | ({ readonly kind: 'rollback' } & RollbackRequest)
  | { readonly kind: Exclude<OperationKind, 'deploy' | 'rollback'>; readonly app: AppName }

export interface Watch {
  /** Told each step as it happens; never the receipt or the error, which are the result. */
  readonly onProgress: (progress: Progress) => void
  /** Asks the daemon to end it cleanly. The result still says what is true: an error, or the receipt if it was too late. */
  readonly interrupt?: AbortSignal
}

/**
 * Resolves with the receipt.
 * @throws CutoverError as the daemon told it; `unknown` if the daemon went away while this waited.
 */
export type Operate = (operation: Operation, watch: Watch) => Promise<Receipt>

/** Operations through `api`, interruptions through `running`, which must not start a daemon. */
export function operateThrough(api: Calls, running: Calls): Operate {
  return async (operation, { onProgress, interrupt }) => {
    const id = newName()
    using _ = onAbort(interrupt, (done) => untilInterrupted(running, id, done))
    for await (const progress of said(await accepted(begin(api, operation, id)), id, running)) {
      if (progress.type === 'receipt') return progress.receipt
      if (progress.type === 'error') throw errorOf(progress)
      onProgress(progress)
    }
    throw wentAway(operation)
  }
}

/** One that no other client takes. It is no secret, and `node:crypto` takes its time to load. */
const newName = (): string => [process.pid, Date.now(), Math.random()].map((part) => part.toString(36)).join('-')

/** What the operation says. Where only the connection is lost it is heard from there on; this ends early if the daemon has gone. */
async function* said(first: Answer, id: string, running: Calls): AsyncGenerator<Progress> {
  let known = 0
  for (let answer: Answer | null = first; answer !== null; answer = await heardAgain(running, id, known)) {
    try {
      for await (const progress of documentsOf<Progress>(answer)) {
        // Output is for who listens when it comes: it is not said again, and does not count.
        if (progress.type !== 'output') known++
        yield progress
      }
    } catch (error) {
      if (error instanceof CutoverError) throw error
    }
  }
}

/** The same operation of the same daemon, or null. */
async function heardAgain(running: Calls, id: string, known: number): Promise<Answer | null> {
  try {
    return await accepted(running.get('/operations/:id', { param: { id }, query: { known: String(known) } }))
  } catch {
    return null
  }
}

function begin(api: Calls, operation: Operation, id: string): Promise<Answer> {
  const headers = { [operationHeader]: id }
  switch (operation.kind) {
    case 'deploy': {
      const { kind: _, ...json } = operation
      return api.post('/deploy', { json }, headers)
    }
    case 'rollback': {
      const { kind: _, ...json } = operation
      return api.post('/rollback', { json }, headers)
    }
    default:
      return api.post(`/${operation.kind}`, { json: { app: operation.app } }, headers)
  }
}

/** Asks again until the daemon knew the operation: the interruption may overtake the request, and the daemon that is being started for it. */
async function untilInterrupted(api: Calls, operation: string, done: AbortSignal): Promise<void> {
  while (!done.aborted) {
    // If the daemon has gone for good, the operation's own stream says so.
    if (await interrupted(api, operation).catch(() => false)) return
    await sleep(100)
  }
}

async function interrupted(api: Calls, operation: string): Promise<boolean> {
  const answer = await api.post('/interrupt', { json: { operation } })
  return (await answer.json()).interrupted
}

/** Runs `act` when the signal aborts, with a signal that aborts at the end of the scope. */
function onAbort(signal: AbortSignal | undefined, act: (done: AbortSignal) => Promise<void>): Disposable {
  const done = new AbortController()
  const run = () => void act(done.signal)
  if (signal?.aborted) run()
  signal?.addEventListener('abort', run, { once: true, signal: done.signal })
  return { [Symbol.dispose]: () => done.abort() }
}

function errorOf({ message, details, exitCode }: Extract<Progress, { type: 'error' }>): CutoverError {
  const kinds = Object.keys(exitCodes) as ErrorKind[]
  return new CutoverError(kinds.find((kind) => exitCodes[kind] === exitCode) ?? 'unknown', message, { details })
}

function wentAway(operation: Operation): CutoverError {
  const app = operation.kind === 'deploy' ? '' : ` ${operation.app}`
  return new CutoverError(
    'unknown',
    `The daemon went away while the ${operation.kind} ran, so how it ended is not known here. Traffic does not pass through the daemon and goes on. What became of it: cutover history${app}`,
  )
}
