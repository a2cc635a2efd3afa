/** What waits in a listener that closes is answered by its heir; nobody is reset. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dumpTcp } from '../../src/linux/sock-diag.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { eventually } from '../support/workspace.ts'
import { ask, askOver, connected, startApp, startSteering, tally, waitingClient, workerOf } from './fixtures.ts'

const skip = asRoot || needs('python3')
const listen = `listen('0.0.0.0', 8080)`
/** Connections wait in its queue. */
const listenOnly = `listen('0.0.0.0', 8080, accept=False)`
const many = (port = 8080, host = '127.0.0.1') =>
  Promise.all(Array.from({ length: 100 }, () => waitingClient(port, host)))
const answersOf = async (clients: readonly { answer: Promise<string> }[]) =>
  tally(await Promise.all(clients.map(({ answer }) => answer)))

test('the queue of a killed release goes to the active one, of three that are in the group', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const left = await startApp(t, node.release({ app: 1, release: 1 }), 'v1')
  const dark = await startApp(t, node.release({ app: 1, release: 2 }), 'v2')
  const active = await startApp(t, node.release({ app: 1, release: 3 }), 'v3')
  await left.run(listenOnly)
  await dark.run(listen)
  await active.run(listen)
  steering.park(1)
  steering.switchTo(1, 1, { hold: false })
  const clients = await many()
  steering.switchTo(1, 3, { hold: false })
  await left.kill()
  assert.deepEqual(await answersOf(clients), { v3: 100 })
  assert.equal(steering.counters().migrated, 100)
  assert.equal(steering.counters().no_heir, 0)
})

test('what waits stays with the release that was left, as long as it lives, and is answered by it', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const left = await startApp(t, node.release({ app: 1, release: 1 }), 'v1')
  const active = await startApp(t, node.release({ app: 1, release: 2 }), 'v2')
  await left.run(listenOnly)
  await active.run(listen)
  steering.park(1)
  steering.switchTo(1, 1, { hold: false })
  const clients = await many()
  steering.switchTo(1, 2, { hold: false })
  assert.equal(await ask(8080), 'v2')
  await left.run('serve(sockets[0])')
  assert.deepEqual(await answersOf(clients), { v1: 100 })
})

test('the queue of a killed worker goes to the other worker of its release', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release({ app: 1, release: 1 })
  const first = await startApp(t, workerOf(cgroup, 1), 'w1')
  await first.run(listenOnly)
  steering.park(1)
  steering.switchTo(1, 1, { hold: false })
  const clients = await many()
  const second = await startApp(t, workerOf(cgroup, 2), 'w2')
  await second.run(listen)
  await first.kill()
  assert.deepEqual(await answersOf(clients), { w2: 100 })
})

for (const [family, host, address, v6only] of [
  ['IPv4', '127.0.0.1', '0.0.0.0', ''],
  ['IPv6', '::1', '::', ', v6only=1'],
] as const) {
  test(`a hundred that were parked over ${family} come out of the next release’s accept`, { skip }, async (t) => {
    const node = startSteering(t)
    const { steering } = node
    steering.addApp(1, { ports: [8080], holdMs: 60_000 })
    const app = await startApp(t, node.release({ app: 1, release: 1 }), 'v1')
    await app.run(`listen('${address}', 8080${v6only})`)
    steering.park(1)
    steering.switchTo(1, 0, { hold: true })
    const clients = await many(8080, host)
    assert.equal(steering.parked(1), 100)
    assert.equal(steering.unpark(1), 0, 'there is no heir yet')
    assert.equal(steering.parked(1), 100)
    steering.switchTo(1, 1, { hold: true })
    assert.equal(steering.unpark(1), 100)
    assert.deepEqual(await answersOf(clients), { v1: 100 })
    assert.equal(steering.unpark(1), 0)
    assert.equal(await ask(8080, host), 'v1')

    // Once more, with the park socket that listens anew.
    steering.switchTo(1, 0, { hold: true })
    const again = await many(8080, host)
    steering.switchTo(1, 1, { hold: true })
    assert.equal(steering.unpark(1), 100)
    assert.deepEqual(await answersOf(again), { v1: 100 })
    assert.equal(steering.counters().no_heir, 0)
  })
}

test('a handshake that ends after its listener has closed goes to the heir', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const left = await startApp(t, node.release({ app: 1, release: 1 }), 'v1')
  const active = await startApp(t, node.release({ app: 1, release: 2 }), 'v2')
  // TCP_DEFER_ACCEPT: for the server the handshake is half done until the client has asked.
  await left.run(`(bound('0.0.0.0', 8080), sockets[0].setsockopt(6, 9, 30), sockets[0].listen(64))`)
  await active.run(listen)
  steering.park(1)
  steering.switchTo(1, 1, { hold: false })
  const clients = await Promise.all(Array.from({ length: 40 }, () => connected(8080)))
  t.after(() => {
    for (const client of clients) client.destroy()
  })
  assert.equal(dumpTcp({ states: ['syn-received'], port: 8080 }).length, 40)
  steering.switchTo(1, 2, { hold: false })
  await left.kill()
  assert.deepEqual(tally(await Promise.all(clients.map((client) => askOver(client)))), { v2: 40 })
})

test('a probe that a crashed candidate leaves behind is never answered by the active release', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  const candidate = { app: 1, release: 2 }
  steering.addApp(1, { ports: [8080], holdMs: 5000 })
  const active = await startApp(t, node.release({ app: 1, release: 1 }), 'v1')
  const crashing = await startApp(t, node.release(candidate), 'v2')
  await active.run(listen)
  await crashing.run(listenOnly)
  steering.park(1)
  steering.switchTo(1, 1, { hold: true })
  const [listener] = steering.listeners(candidate)
  assert.ok(listener)
  const answers = Array.from({ length: 20 }, () => askOver(steering.probe(candidate, listener)))
  await eventually(() => steering.listeners(candidate)[0]?.waiting === 20)
  await crashing.kill()
  assert.deepEqual(tally(await Promise.all(answers)), { ECONNRESET: 20 })
  assert.equal(await ask(8080), 'v1')
})

test('an app can neither leave its group nor throw the group’s program out', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release({ app: 1, release: 1 })
  const app = await startApp(t, workerOf(cgroup, 1), 'w1')
  // A classic program that always says 0, in a `struct sock_fprog`; SO_ATTACH_REUSEPORT_CBPF is 51, _EBPF 52, SO_DETACH_REUSEPORT_BPF 68.
  await app.run(`
import ctypes
code = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0))
own = struct.pack('HxxxxxxQ', 1, ctypes.addressof(code))
s = made('0.0.0.0')
s.setsockopt(1, 15, 0)
s.bind(('0.0.0.0', 8080))
s.setsockopt(1, 15, 0)
s.setsockopt(1, 51, own)
s.listen(256)`)
  steering.park(1)
  await app.run('(s.setsockopt(1, 15, 0), s.setsockopt(1, 51, own), s.setsockopt(1, 52, 0), s.setsockopt(1, 68, 0))')
  assert.equal(steering.counters().swallowed, 7)
  assert.equal(await app.run('s.getsockopt(1, 15)'), 1)
  steering.switchTo(1, 1, { hold: false })
  const clients = await many()
  const heir = await startApp(t, workerOf(cgroup, 2), 'w2')
  await heir.run(listen)
  await app.kill()
  assert.deepEqual(await answersOf(clients), { w2: 100 })
  assert.equal(steering.counters().migrated, 100)
})
