/** What deploy, rollback, restart, stop, start and remove have in common: shown as it happens, interrupted by Ctrl-C, closed with what is true. */
import type { Operation } from '../client/operate.ts'
import { CutoverError } from '../core/errors.ts'
import { closing } from './closing.ts'
import { connect } from './connect.ts'
import { Interrupted, say, sayJson, shown } from './print.ts'
import { createProgressView, type ProgressView } from './progress.ts'

export interface OperationOptions {
  readonly json?: boolean | undefined
  /** Errors and warnings alone are shown. */
  readonly quiet?: boolean | undefined
  readonly by?: string | undefined
}

const interruptible: ReadonlySet<Operation['kind']> = new Set(['deploy', 'rollback', 'restart'])

/** One Ctrl-C may arrive twice: from the terminal, and from a process in between that hands it on. */
const sameMs = 150

const leaving = ['SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/** Runs the operation and prints its receipt. The error, if there is one, has been shown when it is thrown. */
export async function operate(
  operation: Operation,
  { json = false, quiet = false, by }: OperationOptions,
  client = connect({ by }),
): Promise<void> {
  const view = await createProgressView({ quiet })
  using interrupt = ctrlC(operation.kind, view)
  try {
    const receipt = await client.operate(operation, { onProgress: view.show, interrupt: interrupt.signal })
    view.end()
    if (json) sayJson(receipt)
    else if (!quiet) for (const line of closing(receipt)) say(line)
  } catch (error) {
    if (!(error instanceof CutoverError)) throw error
    view.fail(error)
    // Only what the interruption ended is an interruption: a refusal stays one.
    const interrupted = interrupt.signal.aborted && error.kind === 'failed'
    throw shown(interrupted ? new Interrupted('failed', error.message, { details: error.details }) : error)
  } finally {
    view.end()
  }
}

/** The first Ctrl-C asks for a clean end where the operation has one, the second leaves at once, as SIGTERM, SIGHUP and SIGQUIT (Ctrl-\\) do. */
function ctrlC(kind: Operation['kind'], view: ProgressView): Disposable & { readonly signal: AbortSignal } {
  const asked = new AbortController()
  const leave = (_: NodeJS.Signals, number: number) => {
    view.end()
    view.note('What becomes of it: cutover history')
    process.exit(128 + number)
  }
  let askedAt = -Infinity
  const interrupt = (signal: NodeJS.Signals, number: number) => {
    if (performance.now() - askedAt < sameMs) return
    askedAt = performance.now()
    if (asked.signal.aborted || !interruptible.has(kind)) leave(signal, number)
    view.note('Ending this cleanly. Ctrl-C again leaves at once.')
    asked.abort()
  }
  const handlers = [['SIGINT', interrupt], ...leaving.map((signal) => [signal, leave] as const)] as const
  for (const [signal, handler] of handlers) process.on(signal, handler)
  const forget = () => {
    for (const [signal, handler] of handlers) process.off(signal, handler)
  }
  return { signal: asked.signal, [Symbol.dispose]: forget }
}
