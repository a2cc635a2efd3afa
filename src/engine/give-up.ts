/** A release that was to go live and will not: what is left of it is taken away, and it is told why. */
import { activeOf, findRelease } from '../core/app.ts'
import { CutoverError } from '../core/errors.ts'
import { isCandidate } from '../core/states.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import type { LeftOut } from '../store/files/survey.ts'
import { cleanUp, tried, writeFailure } from './clean-up.ts'
import type { Operation } from './cutover.ts'
import { explain, reasonOf } from './failed-message.ts'
import type { Node } from './node.ts'
import { releasePorts } from './release-ports.ts'
import { type Former, giveBack } from './stop-former.ts'

export interface GivenUp {
  readonly app: AppName
  readonly release: ReleaseNumber
  readonly operation: Operation
  readonly error: unknown
  readonly deployTimeoutMs: number
  /** Aborted if somebody wanted it to end. */
  readonly signal: AbortSignal
  readonly leftOut: readonly LeftOut[]
  /** Its files go too: it was never live. */
  readonly files: boolean
  /** The release that was ended before, and is to serve again; null if none was. */
  readonly former: Former | null
}

/**
 * Ends the operation. What was made active stays, whatever came after: the next daemon finishes that.
 * @returns the error for whoever asked
 */
export async function giveUp(node: Node, given: GivenUp): Promise<unknown> {
  const { app, release, operation, error, deployTimeoutMs, signal, leftOut, files, former } = given
  const { failed: step } = operation.steps
  const aborted = signal.aborted ? String(signal.reason?.message) : null
  const state = node.store.apps.state(app)
  const isWritten = activeOf(state)?.number === release
  if (former !== null && !isWritten) await cleanUp(node, app, release, { files })
  const back = former === null || isWritten ? null : await giveBack(node, app, former, operation)
  const explained = isWritten
    ? notTold(app, release, error)
    : afterBack(back, await explain(node, { app, release, step, error, deployTimeoutMs, aborted, leftOut }))
  const reason = reasonOf(explained, error)
  if (!isWritten) {
    const record = findRelease(state, release)
    if (record !== null && isCandidate(record.state)) {
      if (former === null) await cleanUp(node, app, release, { files })
      writeFailure(node, app, release, reason)
    }
    await tried(node, `give the ports of ${app} back`, () => releasePorts(node, app))
  }
  node.store.operations.end(operation.id, aborted === null ? 'failed' : 'aborted', reason)
  node.store.events.add(`${operation.kind}-failed`, reason, app, release)
  return explained
}

/** Clients noticed that it was tried. */
const afterBack = (back: string | null, error: unknown): unknown =>
  back !== null && error instanceof CutoverError
    ? new CutoverError(
        'given-back',
        error.message.replace(/(?=\n|$)/, () => ` ${back}`),
        {
          details: error.details,
          cause: error,
        },
      )
    : error

/** It was written down as active, and the kernel refused to be told. */
const notTold = (app: AppName, release: ReleaseNumber, error: unknown): CutoverError =>
  new CutoverError(
    'unknown',
    `${app} ${named(release)} is written down as live, but the kernel could not be told so: ${error instanceof Error ? error.message : String(error)}. ` +
      'Traffic is where it was. The next daemon makes the two agree: cutover daemon stop, then cutover status',
    { cause: error },
  )
