/** A daemon with other kernel programs than those that run puts its own in their places, and no connection notices. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate as soon } from 'node:timers/promises'
import { CutoverError } from '../../src/core/errors.ts'
import { install } from '../../src/strategies/steer/install.ts'
import { type Kernel, openKernel } from '../../src/strategies/steer/kernel.ts'
import { connectionKey, layoutVersion, releaseKey, u32 } from '../../src/strategies/steer/layout.ts'
import { ownObjects } from '../../src/strategies/steer/objects.ts'
import { openPark, type Park } from '../../src/strategies/steer/park.ts'
import { openProbe } from '../../src/strategies/steer/probe.ts'
import { asRoot } from '../support/namespace.ts'
import { assertOneVersion, countsOf, otherObjects } from '../support/other-objects.ts'
import { needs } from '../support/packages.ts'
import { eventually } from '../support/workspace.ts'
import {
  ask,
  askOver,
  askTimes,
  errorOf,
  keepAsking,
  startApp,
  startSteering,
  type TestSteering,
  tally,
  waitingClient,
} from './fixtures.ts'

const skip = asRoot || needs('python3', 'clang-19', 'libbpf-dev')
const v1 = { app: 1, release: 1 }
const v2 = { app: 1, release: 2 }

/** Two releases on a declared port over both families and on one that nobody declared; v1 is active. */
async function twoReleases(t: TestContext, node: TestSteering) {
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 60_000 })
  const [first, second] = [await startApp(t, node.release(v1), 'v1'), await startApp(t, node.release(v2), 'v2')]
  for (const app of [first, second]) {
    await app.run(`listen('0.0.0.0', 8080)`)
    await app.run(`listen('::', 8080, v6only=1)`)
    await app.run(`listen('127.0.0.1', 9090)`)
  }
  steering.park(1)
  steering.switchTo(1, 1, { hold: true })
  return { first, second }
}

interface Loaded extends Disposable {
  readonly kernel: Kernel
  readonly park: Park
}

/** Programs of that folder, loaded for these pins and not yet in their places. */
function loadedFor({ pins, cgroup }: TestSteering, folder: URL): Loaded {
  const kernel = openKernel(pins, folder)
  assert.ok(kernel.loaded)
  const park = openPark(kernel.maps, kernel.group, cgroup)
  return {
    kernel,
    park,
    [Symbol.dispose]: () => {
      park.close()
      kernel[Symbol.dispose]()
    },
  }
}

test('200 replacements to and fro under load, and cutovers between them, lose nothing', { skip }, async (t) => {
  const node = startSteering(t)
  await twoReleases(t, node)
  // Closed before the holder of the app's port is ended: each park would start another in its place.
  using other = loadedFor(node, otherObjects(t))
  for (const _step of install(other.kernel, other.park));
  using own = loadedFor(node, ownObjects)
  const load = [keepAsking(8, () => ask(8080)), keepAsking(4, () => ask(8080, '::1')), keepAsking(4, () => ask(9090))]
  for (let i = 0; i < 200; i++) {
    const { kernel, park } = i % 2 === 0 ? own : other
    for (const _step of install(kernel, park)) if (i % 10 === 0) await soon()
    await soon()
    if (i % 5 === 0) node.steering.switchTo(1, 1 + (i % 2), { hold: true })
  }
  for (const stop of load) {
    const answers = await stop()
    t.diagnostic(JSON.stringify(answers))
    assert.deepEqual(Object.keys(answers).toSorted(), ['v1', 'v2'])
  }
  assert.deepEqual(countsOf(node.pins), { own: {}, other: {} }, 'nothing was refused or parked')
})

test('until all hooks are replaced it is looked for what must reach one release, whether it was counted or not', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  await twoReleases(t, node)
  using other = loadedFor(node, otherObjects(t))
  const { maps } = other.kernel
  let localPort = 20_000
  const answer = () => {
    localPort++
    const key = connectionKey({ address: '127.0.0.1', port: localPort }, { address: '127.0.0.1', port: 8080 })
    maps.who.set(key, u32(releaseKey(v2), 0))
    return askOver(connect({ host: '127.0.0.1', port: 8080, localPort }))
  }
  for (const step of install(other.kernel, other.park)) assert.equal(await answer(), 'v2', step)
  openProbe(maps)
  assert.equal(await answer(), 'v1')
})

test('after a replacement every program is the new one, and after the way back the old one again', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { first, second } = await twoReleases(t, node)
  const folder = otherObjects(t)
  let steering = node.steering

  /** Does something of which each program that counts has to take note; says what of it was counted by whom. */
  const exercise = async () => {
    const before = countsOf(node.pins)
    assert.equal(await errorOf(first.run(`made('0.0.0.0', protocol=262)`)), 'EPROTONOSUPPORT')
    assert.equal(await errorOf(first.run(`listen('0.0.0.0', 8080)`)), 'EADDRINUSE')
    assert.equal(await errorOf(first.run(`listen('::', 8080, v6only=1)`)), 'EADDRINUSE')
    await first.run(`sockets[0].setsockopt(1, 15, 0)`)
    steering.switchTo(1, 0, { hold: false })
    assert.equal(await ask(8080), 'ECONNREFUSED')
    steering.switchTo(1, 0, { hold: true })
    const waiting = [await waitingClient(8080), await waitingClient(8080, '::1')]
    await eventually(() => steering.parked(1) === 2)
    steering.switchTo(1, 1, { hold: true })
    assert.equal(steering.unpark(1), 2)
    assert.deepEqual(await Promise.all(waiting.map(({ answer }) => answer)), ['v1', 'v1'])
    // What nobody declared has a group of its own, without park.
    await first.run(`close(sockets[2])`)
    await first.run(`listen('127.0.0.1', 9090, accept=False)`)
    const queued = ask(9090)
    await eventually(() => steering.listeners(v1).some((one) => one.port === 9090 && one.waiting === 1))
    steering.switchTo(1, 2, { hold: true })
    await first.run(`close(sockets[2])`)
    assert.equal(await queued, 'v2')
    await first.run(`listen('127.0.0.1', 9090)`)
    steering.switchTo(1, 1, { hold: true })
    const after = countsOf(node.pins)
    const grown = (now: Record<string, number>, then: Record<string, number>) =>
      Object.keys(now)
        .filter((name) => now[name] !== then[name])
        .toSorted()
    return { own: grown(after.own, before.own), other: grown(after.other, before.other) }
  }
  const all = ['dropped', 'in_use', 'migrated', 'mptcp_refused', 'parked', 'swallowed']
  assert.deepEqual(await exercise(), { own: all, other: [] })
  for (let round = 0; round < 2; round++) {
    steering = node.reopen(folder)
    assertOneVersion(node.pins, folder)
    assert.deepEqual(await exercise(), { own: [], other: all })

    steering = node.reopen()
    assertOneVersion(node.pins, ownObjects)
    assert.deepEqual(await exercise(), { own: all, other: [] })
  }
  assert.deepEqual(await askTimes(10, 8080), { v1: 10 })
  // A release that comes now has the present hooks.
  steering.removeRelease(v2)
  await second.kill()
  const third = await startApp(t, node.release({ app: 1, release: 3 }), 'v3')
  await third.run(`listen('0.0.0.0', 8080)`)
  steering.switchTo(1, 3, { hold: true })
  assert.deepEqual(await askTimes(10, 8080), { v3: 10 })
  assertOneVersion(node.pins, ownObjects)
})

/** Opens the kernel's part with these programs in a process of its own that is killed with SIGKILL after so many steps. Says after which. */
async function killedAfter(steps: number, { pins, cgroup }: TestSteering, folder: URL): Promise<string> {
  const module = (name: string) => import.meta.resolve(`../../src/strategies/steer/${name}.ts`)
  const code = `
    import { install } from '${module('install')}'
    import { openKernel } from '${module('kernel')}'
    import { openPark } from '${module('park')}'
    const kernel = openKernel('${pins}', new URL('${folder}'))
    const steps = install(kernel, openPark(kernel.maps, kernel.group, '${cgroup}'))
    let step = 'nothing'
    for (let i = 0; i < ${steps}; i++) step = steps.next().value ?? 'all'
    process.stdout.write(step)
    setInterval(() => {}, 1000)`
  const daemon = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(daemon, 'exit').then(() => Promise.reject(new Error('the daemon ended by itself')))
  const [step]: string[] = await Promise.race([once(daemon.stdout, 'data'), ended])
  daemon.kill('SIGKILL')
  await assert.rejects(ended)
  return `${step}`
}

test('a daemon that is killed between any two steps of it harms nothing, and the next one completes it', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { first } = await twoReleases(t, node)
  let [at, coming] = [ownObjects, otherObjects(t)]
  const stop = keepAsking(2, () => ask(8080))
  const seen: string[] = []
  for (let steps = 0; seen.at(-1) !== 'all'; steps++) {
    const step = await killedAfter(steps, node, coming)
    seen.push(step)
    assert.deepEqual(await askTimes(3, 8080, '::1'), { v1: 3 }, step)
    assert.equal(await ask(9090), 'v1', step)
    assert.equal(await errorOf(first.run(`listen('0.0.0.0', 8080)`)), 'EADDRINUSE', step)
    // The next daemon has the programs that were about to come, every other time those that were there before.
    if (steps % 2 === 0) [at, coming] = [coming, at]
    node.reopen(at)
    assertOneVersion(node.pins, at)
    // The slots of `nobody` are many and alike, and so are the hooks of another release.
    if (/nobody [1-6]|of release 2/.test(step)) steps++
  }
  t.diagnostic(seen.join(', '))
  assert.deepEqual(tally(Object.keys(await stop())), { v1: 1 })
  const { own, other } = countsOf(node.pins)
  for (const counts of [own, other]) assert.deepEqual(Object.keys(counts), ['in_use'])
})

test('a first start that is killed between any two steps is made anew by the next', { skip }, async (t) => {
  const node = startSteering(t)
  node.steering.destroy()
  const seen: string[] = []
  for (let steps = 0; seen.at(-1) !== 'all'; steps += steps < 2 ? 1 : 3) {
    seen.push(await killedAfter(steps, node, ownObjects))
    const steering = node.reopen()
    assertOneVersion(node.pins, ownObjects)
    steering.destroy()
  }
})

test('pins of another layout are refused with a word, and what they steer goes on', {
  skip: asRoot || needs('python3'),
}, async (t) => {
  const node = startSteering(t)
  await twoReleases(t, node)
  for (const layout of ['1', '9']) {
    mkdirSync(join(node.pins, layout, 'maps'), { recursive: true })
    assert.throws(
      () => node.reopen(),
      (error) =>
        error instanceof CutoverError &&
        error.kind === 'failed' &&
        error.message.includes(`are of layout ${layout}, and this version of Cutover knows layout ${layoutVersion}`) &&
        /Nothing was changed: traffic goes on/.test(error.message),
    )
    assert.deepEqual(readdirSync(node.pins).toSorted(), [layout, String(layoutVersion)].toSorted())
    assert.deepEqual(await askTimes(5, 8080), { v1: 5 })
    rmSync(join(node.pins, layout), { recursive: true })
  }
  assert.deepEqual(node.reopen().word(1), { active: 1, standby: 0, hold: true })
})
