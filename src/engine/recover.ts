/**
 * What a daemon does first: it finds what the one before it left, on disk, in the kernel and among the processes, and makes them agree.
 * The database says which release is active; the kernel's word follows it, since a cutover is written down before it is made.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type AppState, activeOf, candidateOf, type ReleaseRecord } from '../core/app.ts'
import type { Actor } from '../core/documents.ts'
import { isAtRest, isCandidate, isStandingBy } from '../core/states.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { restartDelayMs } from '../instances/restarts.ts'
import { cgroupPids } from '../linux/cgroup.ts'
import type { App } from '../store/apps.ts'
import { inBackground } from './background.ts'
import { cleanUp, tried } from './clean-up.ts'
import { untilQuiet } from './connections.ts'
import { declare } from './declare.ts'
import { setupOf } from './instance-spec.ts'
import { keyOf, type Node, now, type Running, refOf, runningOf } from './node.ts'
import { endSteeringIfUnused, releasePorts } from './release-ports.ts'
import { settle } from './settle.ts'
import { startActive } from './start.ts'
import { supervisorOf } from './supervise.ts'
import { takeDown } from './take-down.ts'
import { handOnWhatWaits } from './waiting.ts'

const daemon: Actor = { uid: 0, name: 'the daemon', from: null }

/** Adopts what runs, undoes what was half done, brings back what should run and does not. Resolves before apps that have to be started are up. */
export async function recover(node: Node): Promise<void> {
  const apps = node.store.apps.list()
  const folders = apps.flatMap(({ name }) => [node.home.releases(name)])
  for (const problem of await node.files.removeLeftovers([...folders, `${node.home.directory}/shared`]))
    node.log.warn({}, problem)
  // Those of the daemon before: what is begun here is not among them.
  const unfinished = node.store.operations.unfinished()
  // What is wrong with one app must not keep the others from being looked after.
  for (const app of apps) await tried(node, `take over ${app.name} as it was`, () => recoverApp(node, app))
  for (const { id, app, kind, release } of unfinished) {
    const state = node.store.apps.find(app) === null ? null : node.store.apps.state(app)
    const active = state === null ? null : activeOf(state)
    const done =
      kind === 'stop'
        ? state?.stopped
        : kind === 'remove'
          ? state === null
          : active?.number === release && !state?.stopped
    const where = active === null ? '' : `; ${named(active.number)} is active`
    const text = `the daemon ended during the ${kind}${release === null ? '' : ` of ${named(release)}`}${where}`
    node.store.operations.end(id, done ? 'done' : 'failed', text)
    node.store.events.add('recovered', text, app, release ?? undefined)
  }
  endSteeringIfUnused(node)
}

async function recoverApp(node: Node, app: App): Promise<void> {
  const { name } = app
  node.watchLogs(name)
  const state = node.store.apps.state(name)
  for (const release of state.releases) if (isCandidate(release.state)) await undoCandidate(node, name, release)
  for (const release of state.releases) {
    if (!isAtRest(release.state) && !isCandidate(release.state)) await adopt(node, app, release, state)
  }
  const active = activeOf(state)
  if (active === null) {
    if (candidateOf(state) !== null) releasePorts(node, name)
    return
  }
  if (state.stopped) {
    finishStop(node, app, active.number)
    settle(node, name)
    return
  }
  const running = runningOf(node, name, active.number)
  if (running === null)
    void inBackground(node, `start ${keyOf(name, active.number)}`, () => bringBack(node, name, active.number))
  else resume(node, app, running)
  settle(node, name)
}

/** A candidate whose deploy or rollback nobody leads any more never goes live. */
async function undoCandidate(node: Node, app: AppName, { number: release, liveAt }: ReleaseRecord): Promise<void> {
  await cleanUp(node, app, release, { files: liveAt === null })
  const reason = 'the daemon ended before the cutover'
  node.store.apps.change(app, { type: 'fail', release, reason, at: now() })
}

/** A release that runs is taken over as it is; one that stood by and runs no more is at rest from now on. */
async function adopt(node: Node, app: App, record: ReleaseRecord, { stopped }: AppState): Promise<void> {
  const { name } = app
  const release = record.number
  const setup = await setupOf(node, name, release)
  if (cgroupPids(setup.cgroup).length === 0) {
    await takeDown(node, name, release)
    if (record.state === 'active') return
    const reason = 'it did not run any more when the daemon was started'
    node.store.apps.change(name, { type: 'died', release, reason, at: now() })
    const text = `${name} ${named(release)}, ${record.state}, did not run any more and stands by no longer`
    node.store.operations.note(name, 'recovery', release, 'done', text)
    node.store.events.add('recovered', text, name, release)
    return
  }
  const workers = node.store.apps.workers(name, release)
  const instance = node.instances.adopt(setup.spec, workers, supervisorOf(node, name, release))
  const { config, owner, cgroup } = setup
  node.running.set(keyOf(name, release), {
    app: name,
    release,
    ref: refOf(app, release),
    cgroup,
    config,
    owner,
    instance,
  })
  if ((record.state === 'active' && !stopped) || isStandingBy(record.state)) instance.keepAlive()
}

/** A stop whose daemon died: clients are refused from now on, and what runs has its time for requests in flight. */
function finishStop(node: Node, { name, slot }: App, release: ReleaseNumber): void {
  node.steering().switchTo(slot, 0, { hold: false })
  node.steering().closeParked(slot)
  const running = runningOf(node, name, release)
  if (running === null) return
  const lock = node.locks.take(name, 'a stop', daemon)
  void inBackground(node, `stop ${keyOf(name, release)}`, async () => {
    using _lock = lock
    await untilQuiet(node, running, running.config.drainTimeoutMs)
    await takeDown(node, name, release)
  })
}

/** The kernel's word agrees with the database from here on, and what waited is handed on or closed. */
function resume(node: Node, { slot }: App, running: Running): void {
  const steering = node.steering()
  const { config, release } = running
  declare(node, running.app)
  const word = steering.word(slot)
  if (word.active !== release) steering.switchTo(slot, release, { hold: config.holdMs > 0 })
  steering.park(slot)
  void handOnWhatWaits(node, running.app)
}

/**
 * After a reboot, or when everything was killed: the active release is started again, in the background, so that the daemon answers. What it
 * needs may come up later than it does (a database on the same machine), so this tries for as long as nobody decides otherwise.
 */
async function bringBack(node: Node, app: AppName, release: ReleaseNumber): Promise<void> {
  const given = AbortSignal.any([node.closing, node.shuttingDown.signal])
  const wanted = (): boolean => {
    if (given.aborted || node.store.apps.find(app) === null || runningOf(node, app, release) !== null) return false
    const state = node.store.apps.state(app)
    return activeOf(state)?.number === release && !state.stopped
  }
  node.store.events.add('brought-back', `${app} ${named(release)} did not run and is started again`, app, release)
  void handOnWhatWaits(node, app)
  for (let tries = 1; wanted(); tries++) {
    if (node.locks.holder(app) === null) {
      using _lock = node.locks.take(app, `the start of ${named(release)}`, daemon)
      try {
        await startActive(node, {
          app,
          release,
          by: daemon,
          report: () => {},
          stopped: false,
          signal: node.shuttingDown.signal,
        })
        return
      } catch (error) {
        if (!node.closing.aborted)
          node.log.error({ err: error, app, release }, 'the active release could not be started again')
      }
    }
    await sleep(restartDelayMs(tries), undefined, { signal: given }).catch(() => {})
  }
}
