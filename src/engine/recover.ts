/**
 * What a daemon does first: it finds what the one before it left, on disk, in the kernel and among the processes, and makes them agree.
 * The database says which release is active; the kernel's word follows it, since a cutover is written down before it is made.
 */
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { type AppState, activeOf, candidateOf, findRelease, type ReleaseRecord } from '../core/app.ts'
import { isAtRest, isCandidate, isStandingBy } from '../core/states.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { subgroups } from '../linux/cgroup.ts'
import { isCgroup, pidsIn } from '../linux/enclosure.ts'
import type { App } from '../store/apps.ts'
import { orMissing } from '../store/files/failures.ts'
import type { Operation } from '../store/operations.ts'
import { bringBack } from './bring-back.ts'
import { removeFiles, tried, triedAtOnce } from './clean-up.ts'
import { declare } from './declare.ts'
import { tellFound } from './found.ts'
import { type ReleaseSetup, setupOf } from './instance-spec.ts'
import { allRunning, keyOf, type Node, now, type Running, refOf, runningOf } from './node.ts'
import { weigh } from './oom.ts'
import { endSteeringIfUnused, releasePorts } from './release-ports.ts'
import { removeLog, settle } from './settle.ts'
import { supervisorOf } from './supervise.ts'
import { takeDown } from './take-down.ts'
import { conclude, undoCandidate } from './unfinished.ts'
import { handOnWhatWaits } from './waiting.ts'

/**
 * Adopts what runs, undoes what was half done, brings back what should run and does not. Resolves before apps that have to be started are up.
 * @throws CutoverError `failed` if what is pinned in the kernel cannot be taken over; then nothing was changed
 */
export async function recover(node: Node): Promise<void> {
  // Before anything else: pins that this version does not know end it here, and programs of another version are replaced in place.
  node.findSteer()
  const apps = node.store.apps.list()
  const folders = apps.flatMap(({ name }) => [node.home.releases(name)])
  for (const problem of await node.files.removeLeftovers([...folders, `${node.home.directory}/shared`]))
    node.log.warn({}, problem)
  // Those of the daemon before: what is begun here is not among them.
  const left: Left = { unfinished: node.store.operations.unfinished(), adopted: new Set() }
  // What is wrong with one app must not keep the others from being looked after.
  for (const app of apps) {
    const doing = `take over ${app.name} as it was`
    for (const problem of await tried(node, doing, () => recoverApp(node, app, left)))
      tellProblem(node, app.name, problem)
  }
  for (const one of left.unfinished) {
    const ran = one.release !== null && left.adopted.has(keyOf(one.app, one.release))
    await tried(node, `conclude the ${one.kind} of ${one.app}`, () => conclude(node, one, ran))
  }
  endSteeringIfUnused(node)
}

/** What the daemon before left. */
interface Left {
  readonly unfinished: readonly Operation[]
  /** The releases that ran and were adopted, by their keys: others may have been started since. */
  readonly adopted: Set<string>
}

async function recoverApp(node: Node, app: App, left: Left): Promise<void> {
  const { name } = app
  node.watchLogs(name)
  const state = node.store.apps.state(name)
  for (const release of state.releases)
    if (isCandidate(release.state)) await undoCandidate(node, name, release, left.unfinished)
  for (const release of state.releases) {
    if (isAtRest(release.state) || isCandidate(release.state)) continue
    if (release.state === 'active') await adopt(node, app, release, state, left)
    // The active release must not have to do without what one that stands by hinders.
    else await tried(node, `take over ${name} ${named(release.number)}`, () => adopt(node, app, release, state, left))
  }
  reenter(node, app, state)
  weigh(node, name)
  await removeForgotten(node, name)
  const active = activeOf(state)
  if (active === null) {
    if (candidateOf(state) !== null) releasePorts(node, name)
    return
  }
  const running = runningOf(node, name, active.number)
  if (state.stopped) refuse(node, app)
  else if (running === null) bringBack(node, name, active.number)
  else resume(node, app, running)
  settle(node, name)
}

/** A release that runs is taken over as it is; one that stood by and runs no more is at rest from now on. */
async function adopt(node: Node, app: App, record: ReleaseRecord, { stopped }: AppState, left: Left): Promise<void> {
  const { name } = app
  const release = record.number
  const setup = setupOf(node, name, release)
  if (pidsIn(setup.cgroup).length === 0) {
    await takeDown(node, name, release)
    // One that was being retired is retired: whoever settles the app says so.
    if (record.state === 'active' || record.state === 'retiring') return
    const reason = 'it did not run any more when the daemon was started'
    node.store.apps.change(name, { type: 'died', release, reason, at: now() })
    const text = `${name} ${named(release)}, ${record.state}, did not run any more and stands by no longer`
    node.store.operations.note(name, 'recovery', release, 'done', text)
    tellFound(node, name, release, 'recovered', text)
    return
  }
  // One that was waiting for the ports when the daemon before ended.
  if (isCgroup(setup.cgroup)) for (const worker of subgroups(setup.cgroup)) node.cgroups.thaw(worker)
  const workers = node.store.apps.workers(name, release)
  const instance = node.instances.adopt(setup.spec, workers, supervisorOf(node, name, release))
  const { config, owner, cgroup } = setup
  const ref = refOf(app, release)
  node.running.set(keyOf(name, release), { app: name, release, ref, cgroup, config, owner, instance })
  node.store.apps.keepWorkers(name, release, instance.workers())
  left.adopted.add(keyOf(name, release))
  if ((record.state !== 'active' || stopped) && !isStandingBy(record.state)) return
  instance.keepAlive()
  await tellMissing(node, name, release, setup)
}

/** A release that runs needs neither its files nor the copy of its `env_file`. A worker that is started again does. */
async function tellMissing(
  node: Node,
  app: AppName,
  release: ReleaseNumber,
  { directory, environment }: ReleaseSetup,
): Promise<void> {
  const problems = await tried(node, `read the environment of ${app} ${named(release)}`, environment)
  if (!existsSync(directory)) problems.push(`the directory ${directory} does not exist`)
  for (const problem of problems)
    tellProblem(
      node,
      app,
      `${app} ${named(release)} runs on, but none of its workers could be started again: ${problem}`,
    )
}

function tellProblem(node: Node, app: AppName, text: string): void {
  node.store.operations.note(app, 'recovery', null, 'failed', text)
  tellFound(node, app, null, 'recovery-failed', text)
}

/** Where the pins were taken away from under releases that run, the kernel learns of these anew. */
function reenter(node: Node, { name, slot }: App, state: AppState): void {
  const running = allRunning(node, name)
  if (running.length === 0) return
  const known = new Set(
    node
      .steering()
      .releases()
      .flatMap(({ app, release }) => (app === slot ? [release] : [])),
  )
  const lost = running.filter(({ release }) => !known.has(release))
  if (lost.length === 0) return
  const active = state.stopped ? null : activeOf(state)
  const hold = active !== null && node.store.apps.config(name, active.number).config.holdMs > 0
  const releases = lost.map(({ ref, cgroup, config }) => ({ ref, cgroup, ports: config.ports }))
  node.steering().reenter(slot, releases, { active: active?.number ?? 0, hold })
  const names = lost.map(({ release }) => named(release)).join(', ')
  const text = `of ${name} the kernel no longer knew ${names} (was the bpffs unmounted?); what runs is steered again`
  node.store.operations.note(name, 'recovery', null, 'done', text)
  tellFound(node, name, null, 'recovered', text)
}

/** The files of releases that are kept no longer, where a daemon ended before it had removed them. */
async function removeForgotten(node: Node, app: AppName): Promise<void> {
  const { releases } = node.store.apps.state(app)
  for (const entry of (await orMissing(readdir(node.home.releases(app)))) ?? []) {
    const release = Number(/^v(\d+)(\.env\.json)?$/.exec(entry)?.[1] ?? 0)
    if (release === 0 || releases.some(({ number, onDisk }) => number === release && onDisk)) continue
    await removeFiles(node, app, release)
  }
  for (const entry of (await orMissing(readdir(node.home.logs(app)))) ?? []) {
    const release = Number(/^v(\d+)\.log/.exec(entry)?.[1] ?? 0)
    const record = findRelease({ releases }, release)
    if (release > 0 && (record === null || (record.liveAt !== null && !record.onDisk))) removeLog(node, app, release)
  }
}

/** A stopped app: its ports are its own, and clients are refused. */
function refuse(node: Node, { name, slot }: App): void {
  declare(node, name)
  node.steering().switchTo(slot, 0, { hold: false })
  node.steering().closeParked(slot)
}

/** The kernel's word agrees with the database from here on, and what waited is handed on or closed. */
function resume(node: Node, { slot }: App, running: Running): void {
  const steering = node.steering()
  const { config, release } = running
  declare(node, running.app)
  const word = steering.word(slot)
  if (word.active !== release) steering.switchTo(slot, release, { hold: config.holdMs > 0 })
  // Where it does not listen yet, or this fails, it is done as soon as it can be.
  triedAtOnce(node, `hold the ports of ${running.app}`, () => steering.park(slot))
  void handOnWhatWaits(node, running.app)
}
