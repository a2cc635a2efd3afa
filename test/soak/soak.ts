/**
 * Thousands of cutovers of one app under load, with crashes of the daemon and of workers in between, all drawn from a seed. Outside of
 * crashes of an active worker nothing may be lost; such a crash may cost each client the one request that the worker had in hand. Daemons crash in the
 * first half only, so that the one of the second half can be seen not to grow.
 */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { CutoverError } from '../../src/core/errors.ts'
import { identify, isAlive, sendSignal } from '../../src/linux/process.ts'
import { app, appBecomes, appFolder, pidsOf, port } from '../support/app.ts'
import {
  answeredIn,
  assertNoneLost,
  describeLosses,
  type Fates,
  type Load,
  lostIn,
  startLoad,
} from '../support/load.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { type Draw, drawFrom } from './draw.ts'
import { type Footprint, footprintOf } from './footprint.ts'

export interface SoakOptions {
  readonly cutovers: number
  readonly seed: number
  /** Called now and then. */
  readonly tell: (text: string) => void
}

export interface Soaked {
  readonly cutovers: number
  readonly deploys: number
  readonly crashes: Readonly<Record<Crash, number>>
  readonly answered: number
  /** Requests that a crashed worker had in hand. */
  readonly lostInCrashes: number
  /** As the daemon of the second half began, and at the end. */
  readonly footprints: readonly [Footprint, Footprint]
}

type Crash = 'daemon' | 'daemon at work' | 'active worker' | 'standby worker'
type Act = 'rollback' | 'deploy' | Crash

/** How often each happens, in a thousand. */
const odds: Readonly<Record<Act, number>> = {
  rollback: 900,
  deploy: 60,
  'active worker': 10,
  'standby worker': 10,
  daemon: 10,
  'daemon at work': 10,
}
const clientsOfAKind = 4

/** @throws AssertionError as soon as anything is lost that no crash explains */
export async function soak(t: TestContext, { cutovers, seed, tell }: SoakOptions): Promise<Soaked> {
  const draw = drawFrom(seed)
  const node = await startNode(t)
  // Longer than a worker that crashes again and again is kept waiting for its next start.
  const folder = appFolder(t, { hold: '1m', standby: { keep: 2, mode: 'awake' } })
  await node.deploy(folder)
  await node.deploy(folder)
  const loads = await Promise.all([
    startLoad({ kind: 'short', port, clients: clientsOfAKind, pauseMs: 2, timeoutMs: 90_000 }),
    startLoad({ kind: 'slow', port, clients: clientsOfAKind, slowMs: 300, timeoutMs: 90_000 }),
  ])
  t.after(() => Promise.all(loads.map((load) => load[Symbol.asyncDispose]())))

  const crashes: Record<Crash, number> = { daemon: 0, 'daemon at work': 0, 'active worker': 0, 'standby worker': 0 }
  let [done, deploys, lost] = [0, 0, 0]
  let first: Footprint | null = null
  while (done < cutovers) {
    const secondHalf = done >= cutovers / 2
    if (secondHalf && first === null) first = await footprintAtRest(node)
    const act = draw.weighted(odds)
    if (secondHalf && act.startsWith('daemon')) continue
    switch (act) {
      case 'rollback':
      case 'deploy':
        await moved(node, act, folder, draw)
        if (act === 'deploy') deploys++
        if (++done % Math.ceil(cutovers / 20) === 0) tell(`${done} cutovers, ${await answered(loads)} requests`)
        break
      case 'daemon':
        await node.app(app)
        await node.killDaemon()
        break
      case 'daemon at work': {
        await node.app(app)
        const under = moved(node, draw.chance(0.5) ? 'deploy' : 'rollback', folder, draw).catch(onlyUnknown)
        await pause(draw.below(150))
        await node.killDaemon()
        await under
        break
      }
      default:
        await crashWorker(node, act, draw)
    }
    if (act in crashes) crashes[act as Crash]++
    const now = sum(await fatesOf(loads), lostIn)
    const allowed = act === 'active worker' ? loads.length * clientsOfAKind : 0
    assert.ok(now - lost <= allowed, `seed ${seed}, ${act} after ${done} cutovers: ${await whatWasLost(loads)}`)
    lost = now
  }
  assert.ok(first)
  const footprints = [first, await footprintAtRest(node)] as const
  const fates = await Promise.all(loads.map((load) => load.stop()))
  if (lost === 0) for (const one of fates) assertNoneLost(one)
  assert.equal(sum(fates, lostIn), lost)
  for (const one of fates) assert.deepEqual([one.refused, one.wrong, one.timedOut], [0, 0, 0])
  return { cutovers: done, deploys, crashes, answered: sum(fates, answeredIn), lostInCrashes: lost, footprints }
}

/** One cutover. Whatever a killed daemon left under way may have to end first. */
async function moved(node: TestNode, act: 'rollback' | 'deploy', folder: string, draw: Draw): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      if (act === 'deploy') return void (await node.deploy(folder))
      const { standby } = await node.app(app)
      const to = draw.of(standby)
      return void (await (to === undefined ? node.deploy(folder) : node.rollback(app, { to })))
    } catch (error) {
      if (!(error instanceof CutoverError && error.kind === 'refused') || tries === 300) throw error
      await pause(100)
    }
  }
}

/** A daemon that was killed at work leaves its client not knowing, and nothing else. */
function onlyUnknown(error: unknown): void {
  if (!(error instanceof CutoverError && (error.kind === 'unknown' || error.kind === 'unreachable'))) throw error
}

/**
 * Kills a worker, and waits until it is back: then whoever was lost by it is in the books. A release that drains has requests in hand, as an
 * active one has; it stands by when they have ended.
 */
async function crashWorker(node: TestNode, which: 'active worker' | 'standby worker', draw: Draw): Promise<void> {
  const status = which === 'active worker' ? await node.app(app) : await node.settled(app)
  const release = which === 'active worker' ? status.active : draw.of(status.standby)
  const pid = release === undefined || release === null ? undefined : draw.of(pidsOf(status, release))
  const worker = pid === undefined ? null : identify(pid)
  if (worker === null || release === undefined || release === null) return
  sendSignal(worker, 'SIGKILL')
  await appBecomes(node, (now) => {
    const pids = pidsOf(now, release)
    return (
      !isAlive(worker) &&
      (pids.some((one) => one !== worker.pid) ||
        !now.releases.some((one) => one.release === release && one.state !== 'failed'))
    )
  })
  await pause(50)
}

/** When nothing drains or retires any more. Files of releases may still be under way to be removed: the least of some looks. */
async function footprintAtRest(node: TestNode): Promise<Footprint> {
  await node.settled(app)
  let least = footprintOf(node)
  for (let looks = 0; looks < 5; looks++) {
    await pause(100)
    const next = footprintOf(node)
    if (next.descriptors <= least.descriptors) least = next
  }
  return least
}

const fatesOf = (loads: readonly Load[]): Promise<Fates[]> => Promise.all(loads.map((load) => load.snapshot()))
const answered = async (loads: readonly Load[]): Promise<number> => sum(await fatesOf(loads), answeredIn)
const whatWasLost = async (loads: readonly Load[]): Promise<string> =>
  (await fatesOf(loads)).map((fates) => `${lostIn(fates)} lost in all\n${describeLosses(fates)}`).join('\n')
const sum = (fates: readonly Fates[], of: (fates: Fates) => number): number =>
  fates.reduce((total, one) => total + of(one), 0)
