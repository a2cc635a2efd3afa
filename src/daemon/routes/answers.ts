/** Everything that only looks. */
import { Hono } from 'hono'
import { parse } from 'yaml'
import * as z from 'zod'
import { type Status, schema } from '../../core/documents.ts'
import { refusal, usageError } from '../../core/errors.ts'
import type { AppName } from '../../core/words.ts'
import type { Engine } from '../../engine/engine.ts'
import { textIn } from '../../engine/read-config.ts'
import { appName, type Context, type Environment, valid } from '../context.ts'

const perhapsApp = z.object({ app: appName.exactOptional() })

export const answerRoutes = ({ engine, self }: Context) =>
  new Hono<Environment>()
    .get('/daemon', (c) => c.json({ schema, ...self } as const))
    .get('/status', valid('query', perhapsApp), (c) => {
      const status: Status = { schema, daemon: self, apps: engine.status(c.req.valid('query').app) }
      return c.json(status)
    })
    .get('/history', valid('query', perhapsApp), (c) =>
      c.json({ schema, entries: engine.history(c.req.valid('query').app) } as const),
    )
    .get('/doctor', async (c) => c.json(await engine.doctor()))
    .get('/app', valid('query', z.object({ directory: z.string().startsWith('/').max(4096) })), async (c) =>
      c.json({ app: await appMeant(engine, c.req.valid('query').directory) }),
    )

/**
 * The app that somebody in that folder means without naming one: the one deployed from there, the one its `cutover.yaml` names (however
 * broken the rest of it is: a rollback must work), or the only one there is.
 */
async function appMeant(engine: Engine, directory: string): Promise<AppName> {
  const here = engine.appIn(directory) ?? (await appNamedIn(directory))
  if (here !== null) return here
  const [only, ...others] = engine.status().map(({ app }) => app)
  if (only === undefined) throw refusal('Nothing is deployed yet. To deploy the app in this folder: cutover deploy')
  if (others.length === 0) return only
  throw usageError(`Which app? There is no cutover.yaml here, and these are deployed: ${[only, ...others].join(', ')}.`)
}

async function appNamedIn(directory: string): Promise<AppName | null> {
  try {
    const config: unknown = parse(await textIn(directory), { logLevel: 'silent' })
    const named = z.object({ app: appName }).safeParse(config)
    return named.success ? named.data.app : null
  } catch {
    return null
  }
}
