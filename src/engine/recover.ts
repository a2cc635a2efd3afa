/**
 * What a daemon does first: it finds what the one before it left, on disk, in the kernel and among the processes, and makes them agree.
 * The database says which release is active; the kernel's word follows it, since a cutover is written down before it is made.
 */
import { type AppState, activeOf, type ReleaseRecord } from '../core/app.ts'
import type { Actor } from '../core/documents.ts'
import { isAtRest, isCandidate, isStandingBy } from '../core/states.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { adoptInstance } from '../instances/instance.ts'
import { cgroupPids } from '../linux/cgroup.ts'
import type { App } from '../store/apps.ts'
import { removeLeftovers, removeRelease } from '../store/files/remove.ts'
import { setupOf } from './instance-spec.ts'
import { keyOf, type Node, now, type Running, refOf, runningOf } from './node.ts'
import { endSteeringIfUnused } from './release-ports.ts'
import { settle } from './settle.ts'
import { startActive } from './start.ts'
import { handOnWhatWaits, supervisorOf } from './supervise.ts'
import { takeDown } from './take-down.ts'

const daemon: Actor = { uid: 0, name: 'the daemon', from: null }

/** Adopts what runs, undoes what was half done, brings back what should run and does not. Resolves before apps that have to be started are up. */
export async function recover(node: Node): Promise<void> {
  const apps = node.store.apps.list()
  const folders = apps.flatMap(({ name }) => [node.home.releases(name)])
  for (const problem of await removeLeftovers([...folders, `${node.home.directory}/shared`])) node.log.warn({}, problem)
  for (const app of apps) await recoverApp(node, app)
  for (const { id, app, kind, release } of node.store.operations.unfinished()) {
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
  for (const release of state.releases) {
    if (isCandidate(release.state)) await undoCandidate(node, name, release)
    else if (!isAtRest(release.state)) await adopt(node, app, release, state)
  }
  const active = activeOf(state)
  if (active === null) return
  if (state.stopped) {
    await takeDown(node, name, active.number)
    return
  }
  const running = runningOf(node, name, active.number)
  if (running === null) bringBack(node, name, active.number)
  else resume(node, app, running)
  settle(node, name)
}

/** A candidate whose deploy or rollback nobody leads any more never goes live. */
async function undoCandidate(node: Node, app: AppName, { number: release, liveAt }: ReleaseRecord): Promise<void> {
  await takeDown(node, app, release)
  if (liveAt === null) await removeRelease(node.home.release(app, release))
  const reason = 'the daemon ended before the cutover'
  node.store.apps.change(app, { type: 'fail', release, reason, at: now() })
}

/** A release that runs is taken over as it is; one that stood by and runs no more is at rest from now on. */
async function adopt(node: Node, app: App, record: ReleaseRecord, state: AppState): Promise<void> {
  const { name } = app
  const release = record.number
  const setup = await setupOf(node, name, release)
  if (cgroupPids(setup.cgroup).length === 0) {
    await takeDown(node, name, release)
    if (record.state === 'active') return
    const reason = 'it did not run any more when the daemon was started'
    node.store.apps.change(name, { type: 'died', release, reason, at: now() })
    return
  }
  if (state.stopped && record.state === 'active') return
  const workers = node.store.apps.workers(name, release)
  const instance = adoptInstance(setup.spec, workers, supervisorOf(node, name, release))
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
  if (record.state === 'active' || isStandingBy(record.state)) instance.keepAlive()
}

/** The kernel's word agrees with the database from here on, and what waited is handed on or closed. */
function resume(node: Node, { slot }: App, running: Running): void {
  const steering = node.steering()
  const { config, release } = running
  steering.addApp(slot, { ports: config.ports.map(({ port }) => port), holdMs: config.holdMs })
  const word = steering.word(slot)
  if (word.active !== release) steering.switchTo(slot, release, { hold: config.holdMs > 0 })
  steering.park(slot)
  void handOnWhatWaits(node, running)
}

/** After a reboot, or when everything was killed: the active release is started again. In the background, so that the daemon answers. */
function bringBack(node: Node, app: AppName, release: ReleaseNumber): void {
  const lock = node.locks.take(app, `the start of ${named(release)}`, daemon)
  node.store.events.add('brought-back', `${app} ${named(release)} did not run and is started again`, app, release)
  const work = startActive(node, { app, release, by: daemon, report: () => {}, stopped: false })
    .catch((error: unknown) =>
      node.log.error({ err: error, app, release }, 'the active release could not be started again'),
    )
    .then(() => lock[Symbol.dispose]())
  node.background.set(
    `start ${keyOf(app, release)}`,
    work.finally(() => node.background.delete(`start ${keyOf(app, release)}`)),
  )
}
