/** Everything that changes something. Each answers with its progress, one document a line, and ends with the receipt or the error. */
import { randomUUID } from 'node:crypto'
import { Hono, type Context as Request } from 'hono'
import * as z from 'zod'
import type { Actor, Progress, Receipt } from '../../core/documents.ts'
import { CutoverError, refusal } from '../../core/errors.ts'
import type { Report } from '../../engine/engine.ts'
import { appName, type Context, type Environment, releaseNumber, valid } from '../context.ts'
import { operationHeader } from '../headers.ts'
import { ndjson } from '../ndjson.ts'
import { exitCodeOf, problemOf } from '../problem.ts'

const deploy = z.object({
  directory: z.string().startsWith('/').max(4096),
  label: z.string().min(1).max(200).exactOptional(),
  path: z.string().max(65_536),
})
const rollback = z.object({ app: appName, to: releaseNumber.exactOptional(), from: releaseNumber.exactOptional() })
const oneApp = z.object({ app: appName })

const cutShort =
  'The daemon ended before this did. Traffic does not pass through it and goes on; the next one finishes this or undoes it. What became of it: cutover history'

type Act = (by: Actor, report: Report, signal: AbortSignal) => Promise<Receipt>

export function operationRoutes(context: Context) {
  const { engine, operations } = context

  /** Starts the operation at once and streams what it says. One that lost the client who wanted the same is gone on with. */
  const run = (request: Request<Environment>, wish: object, act: Act): Response => {
    const watch = operations.begin({
      id: request.req.header(operationHeader) ?? randomUUID(),
      what: JSON.stringify([request.req.path, wish]),
      act: async (report, signal) => {
        try {
          return { type: 'receipt', receipt: await act(request.get('actor'), report, signal) }
        } catch (error) {
          return asProgress(error)
        }
      },
    })
    return ndjson(watch(0, request.req.raw.signal), asProgress)
  }

  const asProgress = (error: unknown): Progress => {
    const isCut = context.gone.aborted && !(error instanceof CutoverError)
    const problem = problemOf(isCut ? new CutoverError('unknown', cutShort) : error, context.log)
    const { message, details } = problem
    return { type: 'error', message, details, exitCode: exitCodeOf(problem), receipt: null }
  }

  return new Hono<Environment>()
    .post('/deploy', valid('json', deploy), (c) =>
      run(c, c.req.valid('json'), (by, report, signal) => engine.deploy(c.req.valid('json'), by, report, signal)),
    )
    .post('/rollback', valid('json', rollback), (c) =>
      run(c, c.req.valid('json'), (by, report, signal) => engine.rollback(c.req.valid('json'), by, report, signal)),
    )
    .post('/restart', valid('json', oneApp), (c) =>
      run(c, c.req.valid('json'), (by, report, signal) => engine.restart(c.req.valid('json').app, by, report, signal)),
    )
    .post('/stop', valid('json', oneApp), (c) =>
      run(c, c.req.valid('json'), (by, report) => engine.stop(c.req.valid('json').app, by, report)),
    )
    .post('/start', valid('json', oneApp), (c) =>
      run(c, c.req.valid('json'), (by, report) => engine.start(c.req.valid('json').app, by, report)),
    )
    .post('/remove', valid('json', oneApp), (c) =>
      run(c, c.req.valid('json'), (by, report) => engine.remove(c.req.valid('json').app, by, report)),
    )
    .post('/interrupt', valid('json', z.object({ operation: z.string().max(100) })), (c) =>
      c.json({ interrupted: operations.interrupt(c.req.valid('json').operation) }),
    )
    .get('/operations/:id', valid('query', z.object({ known: z.coerce.number().int().min(0) })), (c) => {
      const watch = operations.find(c.req.param('id'))
      if (watch === null) throw refusal('This daemon does not know that operation.')
      return ndjson(watch(c.req.valid('query').known, c.req.raw.signal), asProgress)
    })
}
