/** The move of new connections from one release to another, and what is true right after it. */
import type { AppEvent } from '../core/app.ts'
import { activeOf, findRelease } from '../core/app.ts'
import { type Actor, type OperationKind, type Receipt, schema } from '../core/documents.ts'
import { strategyOf } from '../core/strategy.ts'
import { named, type ReleaseNumber } from '../core/words.ts'
import type { Proven } from './bring-up.ts'
import { triedAtOnce } from './clean-up.ts'
import { type Drops, droppedSince, dropsAt, openConnections } from './connections.ts'
import { declare } from './declare.ts'
import { daemon } from './found.ts'
import { allRunning, type Node, now, type Running, runningOf } from './node.ts'
import { weigh } from './oom.ts'
import { reachWarnings } from './reach.ts'
import { settle } from './settle.ts'
import type { Steps } from './steps.ts'
import { endLoans } from './users.ts'
import { handOnWhatWaits } from './waiting.ts'

/** What is remembered from the beginning of an operation, for its receipt. */
export interface Operation {
  readonly id: number
  readonly kind: OperationKind
  readonly by: Actor
  readonly steps: Steps
  readonly started: string
  readonly previous: ReleaseNumber | null
  readonly drops: Drops
}

/** Writes down that the operation begins: what a next daemon finds if this one dies. */
export function beginOperation(
  node: Node,
  {
    app,
    release,
    kind,
    step,
    by,
    steps,
  }: { app: string; release: ReleaseNumber | null; kind: OperationKind; step: string; by: Actor; steps: Steps },
): Operation {
  const id = node.store.operations.begin(app, kind, release, step, by)
  if (by !== daemon) node.found.delete(app)
  node.store.events.add(
    `${kind}-began`,
    `${kind} of ${app}${release === null ? '' : ` ${named(release)}`} by ${by.name}`,
    app,
    release ?? undefined,
  )
  return operationOf(node, app, { id, kind, by, steps, started: now() })
}

/** Goes on with an operation that was written down: by this daemon, or by one that ended during it. */
export function operationOf(
  node: Node,
  app: string,
  written: Pick<Operation, 'id' | 'kind' | 'by' | 'steps' | 'started'>,
): Operation {
  written.steps.before = (next) => node.store.operations.step(written.id, next)
  const previous = activeOf(node.store.apps.state(app))?.number ?? null
  return { ...written, previous, drops: dropsAt(listenedPorts(node, app)) }
}

/**
 * Gives new connections to the release, from one instruction of the kernel to the next. It is on disk first: if that fails nothing has
 * moved, and a daemon that dies in between is followed by one that makes the kernel agree. Nothing here suspends.
 * @returns microseconds of the one map update
 */
export function cutOver(
  node: Node,
  { previous }: Operation,
  running: Running,
  event: AppEvent | null,
): { text: string; us: number } {
  const { app, release, ref, config, instance } = running
  const steering = node.steering()
  if (event !== null) node.store.apps.change(app, event)
  const us = steering.switchTo(ref.app, release, { hold: config.holdMs > 0 })
  instance.keepAlive()
  endLoans(node, app, release)
  // Traffic has moved: what of the rest cannot be done now is no failure of the cutover.
  triedAtOnce(node, `tell the kernel the ports of ${app}`, () => declare(node, app))
  triedAtOnce(node, `set the oom scores of ${app}`, () => weigh(node, app))
  // What waits is handed on here and now; whoever comes late or waits at another address is looked after.
  void handOnWhatWaits(node, app)
  const from = previous === null || previous === release ? '' : `${named(previous)} → `
  return { text: `${from}${named(release)}`, us }
}

/** The step in which a release that was proven ready goes live; until it begins, whoever asked may still have it otherwise. */
export const cutOverStep = (
  node: Node,
  operation: Operation,
  { running, requireSound }: Pick<Proven, 'running' | 'requireSound'>,
  event: AppEvent | null,
  signal: AbortSignal,
): Promise<{ readonly us: number }> =>
  operation.steps.run('cutover', 'cutover', () => {
    signal.throwIfAborted()
    requireSound()
    return cutOver(node, operation, running, event)
  })

/** What it took that the former release was ended before. */
export interface Off {
  /** For how long nobody served. */
  readonly ms: number
  /** Connections that were cut. */
  readonly cut: number
}

/** Ends the operation with its receipt, and sees to it that what was left is drained and retired in the background. */
export function endOperation(
  node: Node,
  operation: Operation,
  running: Running,
  cutover: { readonly us: number; readonly readyMs: number; readonly off?: Off | null },
): Receipt {
  const { app, release } = running
  try {
    const left = operation.previous === release ? null : operation.previous
    const former = left === null ? null : runningOf(node, app, left)
    for (const warning of reachWarnings(node, running, former)) {
      operation.steps.warn(warning)
      node.store.events.add('warning', warning, app, release)
    }
    const off = cutover.off ?? null
    const figures = {
      switch_us: cutover.us,
      ready_ms: round(cutover.readyMs),
      total_ms: round(operation.steps.elapsed()),
      off_ms: off === null ? null : round(off.ms),
    }
    const receipt = receiptOf(node, operation, app, release, figures, off?.cut)
    const from = operation.previous === null ? '' : `, ${named(operation.previous)} before`
    const text = `${app} ${named(release)} is live${from}`
    node.store.operations.end(operation.id, 'done', text, receipt)
    node.store.events.add(operation.kind, text, app, release)
    return receipt
  } finally {
    // Traffic has moved: whatever becomes of the receipt, what was left has to be looked after.
    settle(node, app)
  }
}

export function receiptOf(
  node: Node,
  { kind, by, steps, started, previous, drops }: Operation,
  app: string,
  release: ReleaseNumber,
  cutover: Receipt['cutover'],
  cut = 0,
): Receipt {
  const record = findRelease(node.store.apps.state(app), release)
  // An app whose first deploy was cut short may have none.
  const config = record === null ? null : node.store.apps.config(app, release).config
  const left = previous === null || previous === release ? null : runningOf(node, app, previous)
  return {
    schema,
    app,
    kind,
    release,
    previous: previous === release ? null : previous,
    strategy: config === null ? 'steer' : strategyOf(config),
    state: record?.state ?? 'retired',
    label: record?.label ?? null,
    ports: (config?.ports ?? []).map(({ port }) => port),
    cutover,
    steps: steps.done.map((step) => ({ ...step, ms: round(step.ms) })),
    accepted: Object.fromEntries(
      allRunning(node, app).map((one) => [named(one.release), node.steering().accepted(one.ref)]),
    ),
    remaining: left === null ? 0 : openConnections(node, left),
    lost: { listen_drops: droppedSince(drops, dropsAt(listenedPorts(node, app))), cut },
    warnings: steps.warnings,
    started,
    by,
  }
}

const listenedPorts = (node: Node, app: string): number[] => [
  ...new Set(allRunning(node, app).flatMap(({ config }) => config.ports.map(({ port }) => port))),
]

/** To a tenth. */
const round = (ms: number): number => Math.round(ms * 10) / 10
