/** After a cutover, in the background: what was left is drained and stands by; older releases are retired; old files are pruned. */
import { activeOf, findRelease } from '../core/app.ts'
import { toPrune, toRetire } from '../core/decisions.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { timesOf } from '../instances/log-times.ts'
import { maxAlive } from '../strategies/steering.ts'
import { inBackground, underWay } from './background.ts'
import { removeFiles, triedAtOnce } from './clean-up.ts'
import { untilQuiet } from './connections.ts'
import { declare } from './declare.ts'
import { allRunning, keyOf, type Node, now, runningOf } from './node.ts'
import { presentPorts } from './ports.ts'
import { withoutHeir } from './reach.ts'
import { takeDown } from './take-down.ts'

/** Looks at what has to be done about the releases that are not active, and begins it. */
export function settle(node: Node, app: AppName): void {
  const state = node.store.apps.state(app)
  const active = activeOf(state)
  const running = active === null ? null : runningOf(node, app, active.number)
  // Until the active release runs, whatever else does may be what serves: nothing is ended then.
  if (running !== null) {
    for (const release of toRetire(state, running.config.standbyKeep)) void retire(node, app, release)
  }
  for (const { number, state: now } of state.releases) {
    if (now === 'draining') void inBackground(node, `drain ${keyOf(app, number)}`, () => drain(node, app, number))
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
    const alone = running === null ? [] : withoutHeir(node, running)
    const open = running === null ? 0 : await untilQuiet(node, running, running.config.drainTimeoutMs, { alone })
    // Before they are cut: a daemon that dies meanwhile is followed by one that finds nothing to count.
    if (open > 0) node.store.operations.cut(app, release, open)
    await takeDown(node, app, release)
    const cut = node.store.operations.cutOf(app, release)
    const text = `${app} ${named(release)} is retired${cut > 0 ? `; ${cut} connections were still open after drain_timeout and were cut` : ''}`
    node.store.together(() => {
      node.store.apps.change(app, { type: 'retired', release, at: now() })
      node.store.operations.note(app, 'retire', release, 'done', text)
    })
    triedAtOnce(node, `give back the ports of ${keyOf(app, release)}`, () => giveBackPorts(node, app, release))
    node.store.events.add('retired', text, app, release)
    prune(node, app)
  })
}

/** What no other release of the app declares. */
function giveBackPorts(node: Node, app: AppName, release: ReleaseNumber): void {
  const others = presentPorts(node, app)
  if (node.store.apps.config(app, release).config.ports.some(({ port }) => !others.has(port))) declare(node, app)
}

/** Every retirement of the app that is under way. */
export const retirements = (node: Node, app: AppName): Promise<unknown> => Promise.all(underWay(node, ['retire'], app))

/**
 * Resolves when the kernel has room for one more release of the app: deploys that follow each other faster than requests end wait for the
 * first retirement. False if there was room at once. Where nothing retires this does not wait: then the steering refuses.
 */
export async function untilRoom(node: Node, app: AppName, signal: AbortSignal): Promise<boolean> {
  let waited = false
  const { promise: aborted, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  while (allRunning(node, app).length >= maxAlive && !signal.aborted) {
    const retiring = underWay(node, ['retire'], app)
    if (retiring.length === 0) break
    waited = true
    await Promise.race([...retiring, aborted])
  }
  signal.throwIfAborted()
  return waited
}

/** A release that was left becomes a standby when its requests have ended. Its lingering connections may stay. */
async function drain(node: Node, app: AppName, release: ReleaseNumber): Promise<void> {
  const running = runningOf(node, app, release)
  if (running === null) return
  const draining = () => findRelease(node.store.apps.state(app), release)?.state === 'draining'
  await untilQuiet(node, running, running.config.drainTimeoutMs, { wanted: draining })
  if (draining()) {
    node.store.apps.change(app, { type: 'drained', release, at: now() })
    node.store.events.add('standby', `${app} ${named(release)} stands by`, app, release)
  }
}

/** Removes the files of releases that are no longer kept. A clean-up that fails is a warning: it is tried again next time. */
function prune(node: Node, app: AppName): void {
  if (node.store.apps.find(app) === null) return
  const state = node.store.apps.state(app)
  const retain = retained(node, app)
  const failed = state.releases.filter((release) => release.state === 'failed' && release.liveAt === null)
  for (const { number } of failed.slice(0, Math.max(0, failed.length - retain))) removeLog(node, app, number)
  for (const release of toPrune(state, retain)) {
    if (release === node.wanted.get(app)) continue
    void inBackground(node, `prune ${keyOf(app, release)}`, async () => {
      node.store.apps.change(app, { type: 'pruned', release, at: now() })
      await removeFiles(node, app, release)
      removeLog(node, app, release)
      node.store.events.add('pruned', `the files of ${app} ${named(release)} were removed`, app, release)
    })
  }
}

/** The log of a release goes with its files; of those that never went live as many are kept. */
export function removeLog(node: Node, app: AppName, release: ReleaseNumber): void {
  const log = node.home.log(app, release)
  for (const file of [log, timesOf(log)]) node.files.removeFile(file)
}

/** `retain` of the release that is live; without one nothing is pruned. */
function retained(node: Node, app: AppName): number {
  const active = node.store.apps.state(app).releases.find(({ state }) => state === 'active')
  return active === undefined ? Number.MAX_SAFE_INTEGER : node.store.apps.config(app, active.number).config.retain
}
