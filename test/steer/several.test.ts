/** Several that steer in one network namespace: other Cutovers, and programs of others. None of them disturbs another. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createLink, openTarget } from '../../src/linux/bpf.ts'
import { createMap } from '../../src/linux/bpf-map.ts'
import { loadPrograms, readObject } from '../../src/linux/bpf-object.ts'
import { copyDescriptor } from '../../src/linux/process.ts'
import { u32, u64 } from '../../src/strategies/steer/layout.ts'
import type { ReleaseRef } from '../../src/strategies/steering.ts'
import { asRoot } from '../support/namespace.ts'
import { otherObjects } from '../support/other-objects.ts'
import { needs } from '../support/packages.ts'
import { temporaryDirectory } from '../support/workspace.ts'
import { ask, askTimes, errorOf, keepAsking, startApp, startSteering, type TestSteering, tally } from './fixtures.ts'

const skip = asRoot || needs('python3', 'clang-19', 'libbpf-dev')

/** The app 1 of that steering, with two releases that answer with the name and their number. */
async function twoReleases(t: TestContext, node: TestSteering, name: string, listens: readonly string[], port: number) {
  node.steering.addApp(1, { ports: [port], holdMs: 5000 })
  for (const release of [1, 2]) {
    const app = await startApp(t, node.release({ app: 1, release }), `${name}${release}`)
    for (const one of listens) await app.run(one)
  }
  node.steering.park(1)
  node.steering.switchTo(1, 1, { hold: true })
}

test('two homes in one network namespace do not disturb each other, and share a port at two addresses', {
  skip,
}, async (t) => {
  const [one, other] = [startSteering(t), startSteering(t)]
  // Either listens on 9090, which nobody declared, each at an address of its own.
  await twoReleases(t, one, 'a', [`listen('0.0.0.0', 8080)`, `listen('127.0.0.1', 9090)`], 8080)
  await twoReleases(t, other, 'b', [`listen('::', 8081)`, `listen('127.0.0.2', 9090)`], 8081)
  const ways = {
    a: [keepAsking(4, () => ask(8080)), keepAsking(2, () => ask(9090))],
    b: [keepAsking(4, () => ask(8081)), keepAsking(2, () => ask(9090, '127.0.0.2'))],
  }
  for (let i = 0; i < 40; i++) {
    one.steering.switchTo(1, 1 + (i % 2), { hold: true })
    if (i % 3 === 0) other.steering.switchTo(1, 1 + ((i / 3) % 2), { hold: true })
    await pause(10)
  }
  const folder = otherObjects(t)
  one.reopen(folder)
  await pause(50)
  other.reopen(folder)
  await pause(50)
  one.reopen()
  for (const stop of ways.a) assert.deepEqual(Object.keys(await stop()).toSorted(), ['a1', 'a2'])
  one.steering.destroy()
  await pause(50)
  other.steering.switchTo(1, 1, { hold: true })
  assert.deepEqual(await askTimes(10, 8081), { b1: 10 })
  for (const stop of ways.b) assert.deepEqual(Object.keys(await stop()).toSorted(), ['b1', 'b2'])
  const { parked, dropped } = other.steering.counters()
  assert.deepEqual({ parked, dropped }, { parked: 0, dropped: 0 })
})

/** Attaches a program of somebody else, which gives the port to a listener at another one. */
async function attachStranger(t: TestContext, port: number): Promise<void> {
  const file = join(temporaryDirectory(t), 'stranger.o')
  const source = fileURLToPath(new URL('stranger.bpf.c', import.meta.url))
  const include = ['x86_64', 'aarch64'].map((machine) => `-I/usr/include/${machine}-linux-gnu`)
  const args = ['-O2', '-mcpu=v3', '-target', 'bpf', ...include, `-DPORT=${port}`, '-c', source, '-o', file]
  const { status, stderr } = spawnSync('clang-19', args, { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  const object = readObject(file)
  assert.ok(object.maps.sockets)
  using sockets = createMap(object.maps.sockets, 'sockets')
  const { stranger } = loadPrograms(object, { sockets })
  assert.ok(stranger)
  using namespace = openTarget('/proc/self/ns/net')
  const link = createLink(stranger.program, stranger.kind, namespace.fd)
  t.after(() => link[Symbol.dispose]())
  stranger.program[Symbol.dispose]()
  const server = await startApp(t, null, `stranger${port}`)
  await server.run(`listen('127.0.0.1', ${port - 1000})`)
  using socket = copyDescriptor(server.pid, Number(await server.run('sockets[0].fileno()')))
  assert.ok(socket)
  sockets.set(u32(0), u64(BigInt(socket.fd)))
}

test('look-up programs of others that were there before, or come later, go on working beside ours', {
  skip,
}, async (t) => {
  await attachStranger(t, 7007)
  const node = startSteering(t)
  await twoReleases(t, node, 'v', [`listen('0.0.0.0', 8080)`], 8080)
  await attachStranger(t, 7008)
  assert.deepEqual(
    node.steering.strangers().map(({ name }) => name),
    ['stranger', 'stranger'],
  )
  const stops = [keepAsking(2, () => ask(7007)), keepAsking(2, () => ask(7008)), keepAsking(4, () => ask(8080))]
  for (let i = 0; i < 20; i++) {
    node.steering.switchTo(1, 1 + (i % 2), { hold: true })
    await pause(10)
  }
  node.reopen(otherObjects(t))
  await pause(50)
  node.steering.switchTo(1, 0, { hold: false })
  assert.equal(await ask(8080), 'ECONNREFUSED', 'what we refuse stays refused')
  node.steering.switchTo(1, 1, { hold: true })
  assert.deepEqual(await askTimes(10, 8080), { v1: 10 })
  const [before, after, own] = await Promise.all(stops.map((stop) => stop()))
  assert.deepEqual(Object.keys(before ?? {}), ['stranger7007'])
  assert.deepEqual(Object.keys(after ?? {}), ['stranger7008'])
  const { ECONNREFUSED: _refused, ...answers } = own ?? {}
  assert.deepEqual(Object.keys(answers).toSorted(), ['v1', 'v2'])
  node.steering.destroy()
  assert.deepEqual(tally([await ask(7007), await ask(7008)]), { stranger7007: 1, stranger7008: 1 })
})

test('a release whose processes are in another network namespace is left alone, and eats no connection', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  await twoReleases(t, node, 'v', [`listen('0.0.0.0', 8080)`], 8080)
  const contained = { app: 1, release: 3 }
  const app = await startApp(t, node.release(contained), 'v3', { by: ['unshare', '--net', '--'] })
  await app.run(`listen('0.0.0.0', 8080)`)
  assert.equal(await app.run('sockets[0].getsockopt(1, 15)'), 0, 'nothing was set on its socket')
  assert.equal(node.steering.counters().foreign_namespace, 1)
  assert.deepEqual(node.steering.listeners(contained), [])
  node.steering.switchTo(1, 3, { hold: false })
  assert.equal(await ask(8080), 'ECONNREFUSED')
  node.steering.switchTo(1, 2, { hold: false })
  assert.deepEqual(await askTimes(10, 8080), { v2: 10 })
})

for (const [has, wants] of [
  ['127.0.0.1', '127.0.0.1'],
  ['0.0.0.0', '127.0.0.1'],
  ['127.0.0.1', '0.0.0.0'],
  ['::', '127.0.0.1'],
  ['127.0.0.1', '::'],
  ['::', '0.0.0.0'],
  ['127.0.0.2', '0.0.0.0'],
  ['127.0.0.2', '::'],
] as const)
  test(`a port that an app of another home has at ${has} gives EADDRINUSE at ${wants}`, { skip }, async (t) => {
    const [one, other] = [startSteering(t), startSteering(t)]
    await twoReleases(t, other, 'b', [`listen('0.0.0.0', 8081)`, `listen('${has}', 9090)`], 8081)
    one.steering.addApp(1, { ports: [8080], holdMs: 0 })
    const app = await startApp(t, one.release({ app: 1, release: 1 }), 'a')
    one.steering.switchTo(1, 1, { hold: false })
    const error = await errorOf(app.run(`listen('${wants}', 9090)`))
    assert.deepEqual(await askTimes(10, 9090, has === '127.0.0.2' ? has : '127.0.0.1'), { b1: 10 })
    assert.equal(error, 'EADDRINUSE')
  })

test('so does one where only a dark release of the other home listens, or only its park', { skip }, async (t) => {
  const [one, other] = [startSteering(t), startSteering(t)]
  const [dark, next] = [1, 2].map((release) => ({ app: 1, release })) as [ReleaseRef, ReleaseRef]
  other.steering.addApp(1, { ports: [9090, 9091], holdMs: 5000 })
  const theirs = await startApp(t, other.release(dark), 'b1')
  await theirs.run(`listen('127.0.0.2', 9090)`)
  await theirs.run(`listen('::', 9091, v6only=1)`)
  one.steering.addApp(1, { ports: [8080], holdMs: 0 })
  const app = await startApp(t, one.release({ app: 1, release: 1 }), 'a')
  const tried = async () => {
    const wishes = [`'0.0.0.0', 9090`, `'127.0.0.2', 9090`, `'::', 9090`, `'::', 9091`, `'::1', 9091`]
    const errors: string[] = []
    for (const wish of wishes) errors.push(await errorOf(app.run(`bound(${wish})`)))
    return tally(errors)
  }
  assert.deepEqual(await tried(), { EADDRINUSE: 5 }, 'dark')
  other.steering.park(1)
  await theirs.kill()
  other.steering.removeRelease(dark)
  other.steering.switchTo(1, 0, { hold: true })
  assert.deepEqual(await tried(), { EADDRINUSE: 5 }, 'park')
  const { dropped, parked } = other.steering.counters()
  assert.deepEqual({ dropped, parked }, { dropped: 0, parked: 0 }, 'to ask is no connection')
  // What is not in the way is to be had, and theirs comes back where it was.
  await app.run(`listen('127.0.0.1', 9090)`)
  await app.run(`listen('0.0.0.0', 9091)`)
  const again = await startApp(t, other.release(next), 'b2')
  await again.run(`listen('127.0.0.2', 9090)`)
  other.steering.switchTo(1, 2, { hold: true })
  assert.deepEqual(await askTimes(10, 9090, '127.0.0.2'), { b2: 10 })
})
