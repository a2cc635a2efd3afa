/** What goes on for as long as the client listens: events and logs. Neither is read faster than the client takes it. */
import { Hono } from 'hono'
import * as z from 'zod'
import type { EventDocument } from '../../core/documents.ts'
import { CutoverError } from '../../core/errors.ts'
import type { Engine } from '../../engine/engine.ts'
import { appName, type Context, type Environment, releaseNumber, valid } from '../context.ts'
import { ndjson } from '../ndjson.ts'
import { type Problem, problemOf } from '../problem.ts'

const eventQuery = z.object({ after: z.coerce.number().int().min(0).exactOptional() })
const logQuery = z.object({
  app: appName,
  release: z.coerce.number().pipe(releaseNumber).exactOptional(),
  lines: z.coerce.number().int().min(0).max(1_000_000),
  since: z.iso.datetime().exactOptional(),
  follow: z.stringbool(),
})

const daemonEnds = new CutoverError('unreachable', 'The daemon ended; apps and traffic go on.')

/** The last line of a stream that ended with an error. */
export interface LastWords {
  readonly problem: Problem
}

export function streamRoutes({ engine, ending, log }: Context) {
  /** Streams until the documents, the client or the daemon end. Why they ended early is the last line. */
  const stream = (gone: AbortSignal, documents: (signal: AbortSignal) => AsyncIterable<unknown>): Response => {
    const lastWords = (error: unknown): LastWords | null =>
      gone.aborted ? null : { problem: problemOf(ending.aborted ? daemonEnds : error, log) }
    return ndjson(untilDaemonEnds(documents(AbortSignal.any([gone, ending]))), lastWords)
  }

  async function* untilDaemonEnds(documents: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    yield* documents
    if (ending.aborted) throw daemonEnds
  }

  return new Hono<Environment>()
    .get('/events', valid('query', eventQuery), (c) =>
      stream(c.req.raw.signal, (signal) => eventsAfter(engine, c.req.valid('query').after ?? null, signal)),
    )
    .get('/logs', valid('query', logQuery), (c) => {
      const { app, since, ...options } = c.req.valid('query')
      return stream(c.req.raw.signal, (signal) =>
        engine.logs(app, { ...options, ...(since && { since: new Date(since) }), signal }),
      )
    })
}

/** The events after that one, or, for null, those that are still to come; until the signal aborts. */
async function* eventsAfter(engine: Engine, after: number | null, signal: AbortSignal): AsyncGenerator<EventDocument> {
  let last = after
  let wake = () => {}
  const stopListening = engine.onEvent((event) => {
    last ??= event.id - 1
    wake()
  })
  const onAbort = () => wake()
  signal.addEventListener('abort', onAbort)
  try {
    while (!signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      const news = last === null ? [] : engine.events(last)
      for (const event of news) {
        yield event
        last = event.id
      }
      if (news.length === 0) await promise
    }
  } finally {
    stopListening()
    signal.removeEventListener('abort', onAbort)
  }
}
