/** After a cutover, in the background: what was left is drained and stands by; older releases are retired; old files are pruned. */
import { findRelease } from '../core/app.ts'
import { toPrune, toRetire } from '../core/decisions.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { removeRelease } from '../store/files/remove.ts'
import { maxAlive } from '../strategies/steer/layout.ts'
import { untilQuiet } from './connections.ts'
import { allRunning, keyOf, type Node, now, runningOf } from './node.ts'
import { takeDown } from './take-down.ts'

/** Looks at what has to be done about the releases that are not active, and begins it. */
export function settle(node: Node, app: AppName): void {
  const state = node.store.apps.state(app)
  const active = runningOf(node, app, state.releases.find((release) => release.state === 'active')?.number ?? 0)
  const keep = active?.config.standbyKeep ?? 0
  for (const release of toRetire(state, keep)) void retire(node, app, release)
  for (const { number, state: now } of state.releases) {
    if (now === 'draining') inBackground(node, `drain ${keyOf(app, number)}`, () => drain(node, app, number))
    if (now === 'retiring') void retire(node, app, number)
  }
  prune(node, app)
}

/**
 * Ends a release for good: when its connections have ended, or its `drain_timeout` is over. What is left then is cut, and counted in the
 * receipt of the operation that left it. One retirement a release; whoever asks again waits for the same.
 */
export function retire(node: Node, app: AppName, release: ReleaseNumber): Promise<void> {
  return inBackground(node, `retire ${keyOf(app, release)}`, async () => {
    if (findRelease(node.store.apps.state(app), release)?.state !== 'retiring') {
      node.store.apps.change(app, { type: 'retire', release, at: now() })
    }
    const running = runningOf(node, app, release)
    const cut = running === null ? 0 : await untilQuiet(node, running, running.config.drainTimeoutMs)
    await takeDown(node, app, release)
    node.store.apps.change(app, { type: 'retired', release, at: now() })
    if (cut > 0) node.store.operations.cut(app, release, cut)
    const text = `${app} ${named(release)} is retired${cut > 0 ? `; ${cut} connections were still open after drain_timeout and were cut` : ''}`
    node.store.operations.note(app, 'retire', release, 'done', text)
    node.store.events.add('retired', text, app, release)
    prune(node, app)
  })
}

/** Every retirement of the app that is under way. */
export const retirements = (node: Node, app: AppName): Promise<unknown> => Promise.all(retiring(node, app))

const retiring = (node: Node, app: AppName): Promise<void>[] =>
  [...node.background].filter(([key]) => key.startsWith(`retire ${app}.`)).map(([, work]) => work)

/**
 * Resolves when the kernel has room for one more release of the app: deploys that follow each other faster than requests end wait for the
 * first retirement. False if there was room at once. Where nothing retires this does not wait: then the steering refuses.
 */
export async function untilRoom(node: Node, app: AppName, signal: AbortSignal): Promise<boolean> {
  let waited = false
  const { promise: aborted, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  while (allRunning(node, app).length >= maxAlive && !signal.aborted) {
    const under = retiring(node, app)
    if (under.length === 0) break
    waited = true
    await Promise.race([...under, aborted])
  }
  signal.throwIfAborted()
  return waited
}

/** A release that was left becomes a standby when its requests have ended. Its lingering connections may stay. */
async function drain(node: Node, app: AppName, release: ReleaseNumber): Promise<void> {
  const running = runningOf(node, app, release)
  if (running === null) return
  const draining = () => findRelease(node.store.apps.state(app), release)?.state === 'draining'
  await untilQuiet(node, running, running.config.drainTimeoutMs, draining)
  if (draining()) {
    node.store.apps.change(app, { type: 'drained', release, at: now() })
    node.store.events.add('standby', `${app} ${named(release)} stands by`, app, release)
  }
}

/** Removes the files of releases that are no longer kept. A clean-up that fails is a warning: it is tried again next time. */
function prune(node: Node, app: AppName): void {
  if (node.store.apps.find(app) === null) return
  const state = node.store.apps.state(app)
  for (const release of toPrune(state, retained(node, app))) {
    inBackground(node, `prune ${keyOf(app, release)}`, async () => {
      node.store.apps.change(app, { type: 'pruned', release, at: now() })
      await removeRelease(node.home.release(app, release))
      node.store.events.add('pruned', `the files of ${app} ${named(release)} were removed`, app, release)
    })
  }
}

/** `retain` of the release that is live; without one nothing is pruned. */
function retained(node: Node, app: AppName): number {
  const active = node.store.apps.state(app).releases.find(({ state }) => state === 'active')
  return active === undefined ? Number.POSITIVE_INFINITY : node.store.apps.config(app, active.number).config.retain
}

/** One piece of work of a name at a time. Its failure is logged: nobody waits for it, or whoever does looks at what is true. */
export function inBackground(node: Node, key: string, work: () => Promise<void>): Promise<void> {
  const underWay = node.background.get(key)
  if (underWay !== undefined) return underWay
  const promise = work()
    .catch((error: unknown) => {
      if (!node.closing.aborted) node.log.error({ err: error, work: key }, 'work in the background failed')
    })
    .finally(() => node.background.delete(key))
  node.background.set(key, promise)
  return promise
}
