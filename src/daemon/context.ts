/** What every route works with. */
import type { HttpBindings } from '@hono/node-server'
import { zValidator } from '@hono/zod-validator'
import * as z from 'zod'
import type { Actor, Status } from '../core/documents.ts'
import { usageError } from '../core/errors.ts'
import type { Engine, Log } from '../engine/engine.ts'
import type { Operations } from './operations.ts'

/** What the API needs of the daemon around it. */
export interface Context {
  readonly engine: Engine
  readonly log: Log
  readonly self: Status['daemon']
  /** Path of the socket that the requests come through. */
  readonly socket: string
  readonly operations: Operations
  /** Aborts when the daemon ends: streams end then. */
  readonly ending: AbortSignal
  /** Aborts when it has let go of everything: it can do nothing any more, but the next daemon can. */
  readonly gone: AbortSignal
  /** Ends the daemon; resolves when nothing of it is left but the answer to who asked. */
  readonly leave: (how: { readonly all: boolean; readonly by: Actor }) => Promise<void>
}

export interface Environment {
  Bindings: HttpBindings
  Variables: { actor: Actor }
}

/** Checks a part of the request; what is wrong with it is a usage error for people. */
export const valid = <Target extends 'json' | 'query', Schema extends z.ZodType>(target: Target, schema: Schema) =>
  zValidator(target, schema, (result) => {
    if (result.success) return
    const details = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
    throw usageError('The daemon does not understand this request.', details)
  })

export const appName = z.string().regex(/^[a-z0-9-]{1,40}$/, 'an app is named with a-z, 0-9 and -, at most 40 of them')
export const releaseNumber = z.number().int().min(1).max(65_535)
