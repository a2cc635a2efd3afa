/** How an error travels to the client: as one document, with the exit code that the contract has for it. */
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { CutoverError, type ErrorKind, exitCodes } from '../core/errors.ts'
import { exhausted } from '../core/exhausted.ts'
import type { Log } from '../engine/engine.ts'

export interface Problem {
  readonly kind: ErrorKind
  readonly message: string
  readonly details: readonly string[]
}

export const statusCodes: Readonly<Record<ErrorKind, ContentfulStatusCode>> = {
  failed: 422,
  usage: 400,
  unreachable: 403,
  refused: 409,
  'given-back': 422,
  unknown: 500,
}

/** What to tell about anything that was thrown. A defect of Cutover is logged whole, and told as one whose outcome is not known. */
export function problemOf(error: unknown, log: Log): Problem {
  if (error instanceof CutoverError) return { kind: error.kind, message: error.message, details: error.details }
  log.error({ err: error }, 'a defect')
  const text = exhausted(error) ?? (error instanceof Error ? error.message : String(error))
  return {
    kind: 'unknown',
    message: `Cutover itself failed: ${text}. What is true now: cutover status. The daemon's log has more.`,
    details: [],
  }
}

export const exitCodeOf = (problem: Problem): number => exitCodes[problem.kind]
