/** A daemon whose maps have another layout moves what the former one pinned, and no connection notices. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate as soon } from 'node:timers/promises'
import type * as installModule from '../../src/strategies/steer/install.ts'
import type * as kernelModule from '../../src/strategies/steer/kernel.ts'
import { openKernel } from '../../src/strategies/steer/kernel.ts'
import { layoutVersion } from '../../src/strategies/steer/layout.ts'
import type * as moveModule from '../../src/strategies/steer/move.ts'
import { bringOver } from '../../src/strategies/steer/move.ts'
import type * as parkModule from '../../src/strategies/steer/park.ts'
import type * as steeringModule from '../../src/strategies/steer/steering.ts'
import { openSteering } from '../../src/strategies/steer/steering.ts'
import type { ReleaseRef } from '../../src/strategies/steering.ts'
import { sinceLinux } from '../support/kernel.ts'
import { asRoot } from '../support/namespace.ts'
import { layout5, twoLayouts, type Version, withoutLayout5 } from '../support/other-layout.ts'
import { needs } from '../support/packages.ts'
import { eventually, temporaryCgroup } from '../support/workspace.ts'
import {
  ask,
  askTimes,
  cookiesOf,
  errorOf,
  keepAsking,
  startApp,
  startSteering,
  type TestSteering,
  tally,
  temporaryBpffs,
  waitingClient,
} from './fixtures.ts'

const skip = asRoot || needs('python3', 'clang-19', 'libbpf-dev')
const v1 = { app: 1, release: 1 }
const v2 = { app: 1, release: 2 }

type Steering = TestSteering['steering']

const moduleOf = async <T>(version: Version, name: string): Promise<T> => await import(version.module(name))

/** The steering of the node as a daemon of that version opens it. */
async function opened({ pins, cgroup }: TestSteering, version: Version): Promise<Steering> {
  const { openSteering } = await moduleOf<typeof steeringModule>(version, 'steering')
  const steering = openSteering({ pins, cgroup })
  assert.deepEqual(readdirSync(pins), [version.layout], 'other pins have gone')
  return steering
}

/** What {@link opened} does at once, with a pause for others after each step. */
async function moveInSteps({ pins, cgroup }: TestSteering, version: Version): Promise<void> {
  const { openKernel } = await moduleOf<typeof kernelModule>(version, 'kernel')
  const { bringOver, leaveFormer } = await moduleOf<typeof moveModule>(version, 'move')
  const { install } = await moduleOf<typeof installModule>(version, 'install')
  const { openPark } = await moduleOf<typeof parkModule>(version, 'park')
  using kernel = openKernel(pins)
  for (const _step of bringOver(kernel)) await soon()
  const park = openPark(kernel.maps, kernel.group, cgroup)
  for (const _step of install(kernel, park)) await soon()
  for (const _step of leaveFormer(kernel)) await soon()
  park.close()
}

/** Two releases over both families, and on a port that nobody declared. The first is active. */
async function twoReleases(t: TestContext, node: Pick<TestSteering, 'steering' | 'release'>) {
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 60_000 })
  const [first, second] = [await startApp(t, node.release(v1), 'v1'), await startApp(t, node.release(v2), 'v2')]
  for (const app of [first, second]) {
    await app.run(`listen('0.0.0.0', 8080, share=True)`)
    await app.run(`listen('0.0.0.0', 8080, share=True)`)
    await app.run(`listen('::', 8080, v6only=1)`)
    await app.run(`listen('127.0.0.1', 9090)`)
  }
  steering.park(1)
  steering.switchTo(1, 1, { hold: true })
  return { first, second }
}

test('moves to and fro under load, and cutovers between them, lose nothing, and counts go on', { skip }, async (t) => {
  const versions = twoLayouts(t)
  const node = startSteering(t)
  await twoReleases(t, node)
  // Nobody serves the other app, so whoever asks waits.
  node.steering.addApp(2, { ports: [8082], holdMs: 60_000 })
  const other = await startApp(t, node.release({ app: 2, release: 1 }), 'other')
  await other.run(`listen('127.0.0.1', 8082)`)
  node.steering.park(2)
  node.steering.switchTo(2, 1, { hold: true })
  await other.run('close(sockets[0])')
  const waiting = await Promise.all([1, 2, 3].map(() => waitingClient(8082)))
  await eventually(() => node.steering.parked(2) === 3)
  const listeners = cookiesOf(node.steering, v1, 8080)
  const before = node.steering.counters()

  let [steering, askedAlone] = [node.steering, 0]
  const load = [keepAsking(8, () => ask(8080)), keepAsking(4, () => ask(8080, '::1')), keepAsking(4, () => ask(9090))]
  t.after(() => Promise.all(load.map((stop) => stop())))
  for (let i = 0; i < 4; i++) {
    const version = i % 2 === 0 ? versions.next : versions.present
    steering.close()
    await moveInSteps(node, version)
    steering = await opened(node, version)
    assert.deepEqual(cookiesOf(steering, v1, 8080), listeners)
    assert.equal(steering.parked(2), 3)
    const release = 1 + (i % 2)
    steering.switchTo(1, release, { hold: true })
    const now = [await ask(8080), await ask(8080, '::1'), await ask(9090)]
    assert.deepEqual(now, Array(3).fill(`v${release}`))
    askedAlone += now.length
  }
  const answered = await Promise.all(load.map((stop) => stop()))
  for (const answers of answered) {
    t.diagnostic(JSON.stringify(answers))
    assert.ok(Object.keys(answers).every((answer) => answer === 'v1' || answer === 'v2'))
  }
  const all = answered.flatMap((answers) => Object.values(answers)).reduce((sum, count) => sum + count, 0)
  assert.equal((steering.accepted(v1) ?? 0) + (steering.accepted(v2) ?? 0), all + askedAlone)
  assert.deepEqual(steering.counters(), before, 'nothing was refused or parked meanwhile')
  assert.equal(before.parked, 3)

  await other.run(`listen('127.0.0.1', 8082)`)
  assert.equal(steering.unpark(2), 3)
  assert.deepEqual(await Promise.all(waiting.map(({ answer }) => answer)), ['other', 'other', 'other'])
  steering.destroy()
})

/** Begins what a daemon of that version does, in a process that is killed with SIGKILL after the step of that name. */
async function killedAfter(step: string, { pins, cgroup }: TestSteering, version: Version): Promise<void> {
  const code = `
    import { install } from '${version.module('install')}'
    import { openKernel } from '${version.module('kernel')}'
    import { bringOver, leaveFormer } from '${version.module('move')}'
    import { openPark } from '${version.module('park')}'
    const kernel = openKernel('${pins}')
    function* steps() {
      yield 'opened'
      yield* bringOver(kernel)
      yield* install(kernel, openPark(kernel.maps, kernel.group, '${cgroup}'))
      yield* leaveFormer(kernel)
    }
    for (const step of steps()) if (step.startsWith('${step}')) process.kill(process.pid, 'SIGKILL')`
  const daemon = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  assert.deepEqual(await once(daemon, 'exit'), [null, 'SIGKILL'], `there is no step ${step}`)
}

/** The steps of a move after which it is killed, in their order. */
const points = [
  'opened',
  'filled',
  'whole',
  'begin',
  'lookup',
  'group of',
  'bind4 of release 1',
  'sock_ops of release 1',
  'end',
  'carried over',
  'left',
]

/** Sockets that are bound and do not listen yet. */
const tellsBound = sinceLinux('6.8')

for (const [parity, what] of [
  [0, 'the next one goes on, or the former version takes it back'],
  [1, 'the former version takes it back, or the next one goes on'],
] as const)
  test(`a daemon that is killed between the steps of a move harms nothing: ${what}`, {
    skip: skip || tellsBound,
  }, async (t) => {
    const versions = twoLayouts(t)
    const node = startSteering(t)
    const { first, second } = await twoReleases(t, node)
    // Of a port that is new, and was listened on between two hooks of one release, the kernel knows as yet only if it is declared.
    node.steering.addApp(1, { ports: [8080, 7100 + points.indexOf('bind4 of release 1')], holdMs: 60_000 })
    node.steering.close()
    const stop = keepAsking(2, () => ask(8080))
    t.after(stop)
    let [at, coming] = [versions.present, versions.next]
    for (const [index, point] of points.entries()) {
      const [early, meanwhile, late] = [7000, 7100, 7200].map((port) => port + index)
      for (const app of [first, second]) await app.run(`bound('127.0.0.1', ${early})`)
      await killedAfter(point, node, coming)
      assert.deepEqual(await askTimes(3, 8080, '::1'), { v1: 3 }, point)
      assert.equal(await ask(9090), 'v1', point)
      assert.equal(await errorOf(first.run(`listen('0.0.0.0', 8080)`)), 'EADDRINUSE', point)
      if (point !== 'left') assert.throws(() => node.reopen(), /are of layout \d+, and this version of Cutover knows/)
      for (const app of [first, second]) {
        await app.run(`(sockets[-1].listen(256), serve(sockets[-1]))`)
        assert.equal(await errorOf(app.run(`listen('127.0.0.1', ${meanwhile})`)), 'no error', point)
        await app.run(`bound('127.0.0.1', ${late})`)
      }
      if (index % 2 === parity) [at, coming] = [coming, at]
      using steering = closing(await opened(node, at))
      for (const app of [first, second]) await app.run(`(sockets[-1].listen(256), serve(sockets[-1]))`)
      for (const ref of [v1, v2]) {
        const ports = steering.listeners(ref).map(({ port }) => port)
        assert.deepEqual(ports.toSorted(), [8080, 8080, 8080, 9090, early, meanwhile, late].toSorted(), point)
      }
      for (const port of [early, meanwhile, late]) assert.deepEqual(await askTimes(6, port ?? 0), { v1: 6 }, point)
      assert.equal(await errorOf(second.run(`listen('127.0.0.1', ${meanwhile})`)), 'EADDRINUSE', point)
      for (const app of [first, second]) await app.run('[close(s) for s in sockets[-3:]]')
    }
    assert.deepEqual(tally(Object.keys(await stop())), { v1: 1 })
    using steering = closing(await opened(node, at))
    const { migrated, in_use, ...others } = steering.counters()
    assert.ok(
      Object.values(others).every((count) => count === 0),
      JSON.stringify(others),
    )
    t.diagnostic(JSON.stringify({ migrated, in_use }))
    steering.destroy()
  })

test('what an earlier version pinned in layout 5 is moved, and that version does not take it back', {
  // The programs of that version load on no older kernel.
  skip: skip || withoutLayout5 || sinceLinux('6.8'),
}, async (t) => {
  const former = await moduleOf<typeof steeringModule>(layout5(t), 'steering')
  const place = { pins: join(temporaryBpffs(t), 'pins'), cgroup: temporaryCgroup(t) }
  const steering = former.openSteering(place)
  const release = (ref: ReleaseRef) => {
    const cgroup = temporaryCgroup(t)
    steering.addRelease(ref, cgroup)
    return cgroup
  }
  const { first, second } = await twoReleases(t, { steering, release })
  for (const app of [first, second]) await app.run(`bound('127.0.0.1', 7000)`)
  assert.deepEqual(await askTimes(10, 8080), { v1: 10 })
  const [listeners, accepted] = [cookiesOf(steering, v1, 8080), steering.accepted(v1)]
  assert.equal(accepted, 10)
  steering.close()

  // One that cannot be ended is as if it had never begun.
  {
    using kernel = openKernel(place.pins)
    const full = () => assert.fail('it is full')
    const maps = { ...kernel.maps, seats: { ...kernel.maps.seats, set: full } }
    assert.throws(() => [...bringOver({ ...kernel, maps })], /it is full/)
    former.openSteering(place).close()
  }
  using present = closing(openSteering(place))
  t.after(() => present.destroy())
  assert.deepEqual(readdirSync(place.pins), [String(layoutVersion)])
  assert.deepEqual(cookiesOf(present, v1, 8080), listeners)
  for (const app of [first, second]) {
    await app.run(`(sockets[-1].listen(256), serve(sockets[-1]))`)
    assert.equal(await errorOf(app.run(`listen('127.0.0.1', 9090)`)), 'EADDRINUSE')
    await app.run(`listen('127.0.0.1', 7100)`)
  }
  for (const port of [8080, 9090, 7000, 7100]) assert.deepEqual(await askTimes(5, port), { v1: 5 }, `${port}`)
  assert.equal(present.accepted(v1), accepted + 20)
  assert.throws(() => former.openSteering(place), /are of layout \d+, and this version of Cutover knows layout 5\./)
  present.switchTo(1, 2, { hold: true })
  for (const port of [8080, 9090, 7000, 7100]) assert.deepEqual(await askTimes(5, port), { v2: 5 }, `${port}`)
})

const closing = (steering: Steering) => ({ ...steering, [Symbol.dispose]: steering.close })
