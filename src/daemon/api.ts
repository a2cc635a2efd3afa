/** The daemon's API: HTTP and JSON over its unix socket. Its type is all that a client needs to know of it. */
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { HTTPException } from 'hono/http-exception'
import * as z from 'zod'
import { refusal, usageError } from '../core/errors.ts'
import { peerOf } from '../linux/peer.ts'
import { actorOf, admit } from './actor.ts'
import { type Context, type Environment, valid } from './context.ts'
import { goneStatus, versionHeader } from './headers.ts'
import { problemOf, statusCodes } from './problem.ts'
import { answerRoutes } from './routes/answers.ts'
import { operationRoutes } from './routes/operations.ts'
import { streamRoutes } from './routes/streams.ts'

export type Api = ReturnType<typeof createApi>

/** A deploy's PATH is the longest thing that is ever asked. */
const largestBody = 1_000_000

const tooLarge = (): never => {
  throw usageError(`The daemon takes no request of more than ${largestBody} bytes.`)
}

/** `when_quiet`: after the operations that run, not in the middle of them; unless whoever asked has gone by then. */
const stop = z.object({ all: z.boolean(), when_quiet: z.boolean().default(false) })

/** Every route; each request is admitted by its peer's credentials before anything else. An error is answered as a Problem. */
export function createApi(context: Context) {
  const api = new Hono<Environment>()
    .use(async (c, next) => (context.gone.aborted ? c.body(null, goneStatus) : await next()))
    .use(async (c, next) => {
      const peer = peerOf(c.env.incoming.socket)
      admit(peer, context.socket)
      c.set(
        'actor',
        actorOf(peer, (name) => c.req.header(name)),
      )
      await next()
      c.res.headers.set(versionHeader, context.self.version)
    })
    .use(bodyLimit({ maxSize: largestBody, onError: tooLarge }))
    .route('/', answerRoutes(context))
    .route('/', streamRoutes(context))
    .route('/', operationRoutes(context))
    .post('/daemon/stop', valid('json', stop), async (c) => {
      const { all, when_quiet } = c.req.valid('json')
      const { signal } = c.req.raw
      if (when_quiet) await context.operations.quiet(signal).catch(() => {})
      if (signal.aborted) throw refusal('Whoever asked for the end of the daemon gave up waiting.')
      await context.leave({ all, by: c.get('actor') })
      return c.json({ schema: 1, stopped: true, all, pid: context.self.pid } as const)
    })

  api.notFound((c) => {
    const { version } = context.self
    const problem = problemOf(
      refusal(
        `The daemon does not know what was asked (${c.req.method} ${c.req.path}): it is of version ${version}, the command of another. ` +
          'Nothing was changed. To put another version in its place, apps and traffic going on: cutover daemon',
      ),
      context.log,
    )
    return c.json(problem, statusCodes[problem.kind])
  })
  api.onError((error, c) => {
    const problem = problemOf(isTheirs(error) ? usageError(`${error.message}.`) : error, context.log)
    return c.json(problem, statusCodes[problem.kind])
  })
  return api
}

/** What the framework itself finds wrong with a request: JSON that is none. */
const isTheirs = (error: unknown): error is HTTPException => error instanceof HTTPException && error.status < 500
