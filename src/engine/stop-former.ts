/**
 * The strategy `stop-start`, for apps that must never run twice: the release that serves is ended before the next one is started. New connections
 * wait meanwhile, for as long as `hold` allows, and are handed to whoever comes up: the next release or, if that fails, the former one again.
 */
import { activeOf } from '../core/app.ts'
import { isStandingBy } from '../core/states.ts'
import { strategyOf } from '../core/strategy.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { bringBack } from './bring-back.ts'
import { bringUp } from './bring-up.ts'
import { tried } from './clean-up.ts'
import { untilQuiet } from './connections.ts'
import { cutOver, type Off, type Operation } from './cutover.ts'
import { type Node, runningOf } from './node.ts'
import { retire } from './settle.ts'
import { takeDown } from './take-down.ts'

/** The release that served until it was ended for the next one. */
export interface Former {
  readonly release: ReleaseNumber
  /** When its traffic was taken, on the clock of `performance`. */
  readonly since: number
  /** Connections that it still had when it was ended. */
  readonly cut: number
}

/** Whether the release, or the one that serves now, must be the only one that runs. */
export function runsAlone(node: Node, app: AppName, release: ReleaseNumber): boolean {
  const active = activeOf(node.store.apps.state(app))
  const both = active === null ? [release] : [release, active.number]
  return both.some((one) => strategyOf(node.store.apps.config(app, one).config) === 'stop-start')
}

/**
 * Ends whatever runs of the app, if the release that is about to start must run alone. What is in flight has half of `hold` to be answered, since
 * those who come meanwhile wait for that as well; without `hold` it has `drain_timeout`.
 * @returns the release that was ended; null if nothing had to be
 */
export async function stopFormer(
  node: Node,
  app: AppName,
  release: ReleaseNumber,
  { steps }: Operation,
  signal: AbortSignal,
): Promise<Former | null> {
  if (!runsAlone(node, app, release)) return null
  const state = node.store.apps.state(app)
  for (const { number, state: now } of state.releases)
    if (isStandingBy(now) || now === 'retiring') await retire(node, app, number)
  signal.throwIfAborted()
  const active = activeOf(state)
  const running = active === null || state.stopped ? null : runningOf(node, app, active.number)
  if (active === null || running === null) return null
  return await steps.run('stop', named(active.number), async () => {
    const { holdMs, drainTimeoutMs } = running.config
    const since = performance.now()
    node.steering().switchTo(running.ref.app, 0, { hold: holdMs > 0 })
    const patienceMs = holdMs > 0 ? Math.min(drainTimeoutMs, holdMs / 2) : drainTimeoutMs
    const cut = await untilQuiet(node, running, patienceMs)
    await takeDown(node, app, active.number)
    const text = `${named(active.number)} has ended${cut > 0 ? `; ${cut} connections were cut` : ''}`
    return { release: active.number, since, cut, text }
  })
}

/**
 * Starts the former release again, since the next one did not come up: now or, if that fails, as soon as it can be.
 * @returns what is true then, a sentence
 */
export async function giveBack(node: Node, app: AppName, former: Former, operation: Operation): Promise<string> {
  const { release, since } = former
  const name = named(release)
  const problems = await tried(node, `start ${app} ${name} again`, async () => {
    const { signal } = node.shuttingDown
    const { running } = await bringUp(node, { app, release, steps: operation.steps, signal })
    cutOver(node, operation, running, null)
  })
  if (problems.length === 0) return `Traffic was taken from ${name} for ${offText(since)} and given back to it.`
  bringBack(node, app, release)
  return `Traffic was taken from ${name}, which could not be started again yet and is tried on: ${problems.join(' ')}.`
}

/** What it took until now. */
export const offOf = (former: Former | null): Off | null =>
  former === null ? null : { ms: performance.now() - former.since, cut: former.cut }

const offText = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`
