import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { app, ask, fateOf, rig } from './rig.ts'

const skip = asRoot || needs('python3')
const port = 8080
const [reusePort, attachCbpf, detachProgram] = [15, 51, 68]
const [tcp, mptcp] = [6, 262]

test('within one worker a second listener is refused exactly where it would be without Cutover', {
  skip,
}, async (t) => {
  const v4 = (address: string) => ({ address })
  const v6 = (address: string, v6only = 0) => ({ address, family: 'ipv6', v6only })
  const shared = { reuseport: true }
  const pairs = [
    ['the same address', v4('0.0.0.0'), v4('0.0.0.0')],
    ['both ask to share', { ...v4('0.0.0.0'), ...shared }, { ...v4('0.0.0.0'), ...shared }],
    ['all, then one', v4('0.0.0.0'), v4('127.0.0.1')],
    ['one, then all', v4('127.0.0.1'), v4('0.0.0.0')],
    ['two of one host', v4('127.0.0.1'), v4('127.0.0.2')],
    ['IPv4, then IPv6 and IPv4', v4('0.0.0.0'), v6('::')],
    ['IPv4, then IPv6 only', v4('0.0.0.0'), v6('::', 1)],
    ['IPv6 only, then IPv4', v6('::', 1), v4('0.0.0.0')],
    ['IPv6 and IPv4, then one of IPv4', v6('::'), v4('127.0.0.1')],
    ['IPv6, then IPv4', v6('::1'), v4('127.0.0.1')],
    ['mapped, then the same in IPv4', v6('::ffff:127.0.0.1'), v4('127.0.0.1')],
    ['mapped, then another in IPv4', v6('::ffff:127.0.0.1'), v4('127.0.0.2')],
    ['IPv6, then all', v6('::1'), v6('::', 1)],
  ] as const
  const r = rig(
    t,
    pairs.map((_, index) => port + index),
  )
  // Ports that Cutover does not know, for the puppet outside: what the kernel says by itself.
  const [inside, outside] = await Promise.all([r.puppet(1), r.puppet(0)])
  for (const [index, [what, first, second]] of pairs.entries()) {
    const open = async (puppet: typeof inside, at: number) => [
      await puppet.do('open', { id: `${index}a`, port: at, backlog: 9, ...first }),
      await puppet.do('open', { id: `${index}b`, port: at, backlog: 9, ...second }),
    ]
    assert.deepEqual(await open(inside, port + index), await open(outside, 20_000 + index), what)
  }
})

test('another worker, and another release, may have the port though neither asked to share', { skip }, async (t) => {
  const r = rig(t, [port])
  const puppets = [await r.puppet(1, { worker: 1 }), await r.puppet(1, { worker: 2 }), await r.puppet(2)]
  for (const puppet of puppets) assert.equal(await puppet.listens('it', port), 'ok')
  const [first] = puppets
  await first?.kill()
  const again = await r.puppet(1, { worker: 1 })
  assert.equal(await again.listens('it', port), 'ok', 'a worker that was killed gets its port again')
  assert.equal(await again.listens('it', port), 'EADDRINUSE')
})

test('a second release may listen as the first does, for IPv4 and for IPv6 only', { skip }, async (t) => {
  const r = rig(t, [port])
  for (const puppet of [await r.puppet(1), await r.puppet(2)]) {
    assert.equal(await puppet.listens('it', port), 'ok')
    assert.equal(await puppet.listens('it', port, { family: 'ipv6', address: '::', v6only: 1 }), 'ok')
  }
})

test('an app cannot leave its group, nor throw the program out, and is told that it did', { skip }, async (t) => {
  const r = rig(t, [port])
  const [v1, v2] = await Promise.all([r.puppet(1), r.puppet(2)])
  await v1.do('open', { id: 'a', address: '0.0.0.0', port })
  assert.equal(await v1.do('setOption', { id: 'a', name: reusePort, value: 0 }), 'ok')
  assert.equal(await v1.do('listen', { id: 'a' }), 'ok')
  assert.equal(await v2.listens('v2', port), 'ok')
  r.steering.park(app)
  r.steering.switchTo(app, 1, { hold: false })
  for (const [name, value] of [
    [reusePort, 0],
    [attachCbpf, []],
    [detachProgram, 0],
  ] as const)
    assert.equal(await v1.do('setOption', { id: 'a', name, value }), 'ok')
  assert.equal(r.steering.counters().swallowed, 4)

  const fates = Array.from({ length: 20 }, () => ask(port))
  await sleep(300)
  r.steering.switchTo(app, 2, { hold: false })
  await v1.kill()
  assert.deepEqual(await Promise.all(fates), Array(20).fill('v2'), 'the program still named the heir')
})

test('MPTCP is refused, so that programs fall back to TCP', { skip }, async (t) => {
  const r = rig(t, [port])
  const puppet = await r.puppet(1)
  for (const family of ['ipv4', 'ipv6']) {
    assert.equal(await puppet.do('make', { family, protocol: mptcp }), 'EPROTONOSUPPORT')
    assert.equal(await puppet.do('make', { family, protocol: tcp }), 'ok')
  }
})

test('a listener on a port that the kernel chose is left alone', { skip }, async (t) => {
  const r = rig(t, [port])
  const puppet = await r.puppet(1)
  await puppet.do('open', { id: 'a', address: '127.0.0.1', port: 0, backlog: 9 })
  await puppet.do('answer', { id: 'a', text: 'mine' })
  const chosen = await puppet.do('port', { id: 'a' })
  assert.deepEqual(r.steering.listeners({ app, release: 1 }), [])
  assert.equal(await ask(Number(chosen)), 'mine')
})

test('a fixed port that nobody declared is shared, steered, and free again after the last release', {
  skip,
}, async (t) => {
  const r = rig(t, [port])
  const metrics = 9100
  const [v1, v2] = await Promise.all([r.puppet(1), r.puppet(2)])
  for (const [puppet, text] of [
    [v1, 'v1'],
    [v2, 'v2'],
  ] as const)
    assert.equal(await puppet.listens(text, metrics, { address: '127.0.0.1' }), 'ok')
  r.steering.park(app)
  assert.deepEqual(
    r.steering.ports(app).toSorted((a, b) => a.port - b.port),
    [
      { port, declared: true },
      { port: metrics, declared: false },
    ],
  )
  for (const release of [1, 2, 1]) {
    r.steering.switchTo(app, release, { hold: false })
    for (let times = 0; times < 20; times++) assert.equal(await ask(metrics), `v${release}`)
  }
  r.steering.switchTo(app, 0, { hold: false })
  for (const [puppet, release] of [
    [v1, 1],
    [v2, 2],
  ] as const) {
    await puppet.kill()
    r.steering.removeRelease({ app, release })
  }
  assert.deepEqual(r.steering.ports(app), [{ port, declared: true }])
  const stranger = await r.puppet(0)
  // SO_REUSEADDR for the connections in TIME_WAIT; a listener that was left behind would be in the way all the same.
  assert.equal(await stranger.listens('stranger', metrics, { reuseaddr: true }), 'ok')
  assert.equal(await ask(metrics), 'stranger')
})

test("another app's port stays its own", { skip }, async (t) => {
  const r = rig(t, [port])
  r.steering.addApp(2, { ports: [9000], holdMs: 0 })
  assert.throws(() => r.steering.addApp(3, { ports: [port], holdMs: 0 }), /belongs to another app/)
  const [mine, other] = [await r.puppet(1), await r.puppet(1, { app: 2 })]
  assert.equal(await mine.listens('mine', port), 'ok')
  assert.equal(await other.listens('other', port), 'EADDRINUSE')
  assert.equal(r.steering.counters().others_port, 1)
})

test('an ordinary user may have the declared low port, and no other', { skip }, async (t) => {
  const r = rig(t, [80])
  const puppet = await r.puppet(1)
  await puppet.do('become', { uid: 12_345 })
  assert.equal(await puppet.listens('v1', 80), 'ok')
  assert.equal(await puppet.listens('v1', 81), 'EACCES')
  r.steering.park(app)
  r.steering.switchTo(app, 1, { hold: false })
  assert.equal(await ask(80), 'v1')
})

test('a probe that waits at a candidate when it dies is never answered by the active release', { skip }, async (t) => {
  const r = rig(t, [port])
  const [v1, v2] = await Promise.all([r.puppet(1), r.puppet(2)])
  await v1.listens('v1', port)
  await v2.do('open', { id: 'a', address: '0.0.0.0', port, backlog: 99 })
  r.steering.switchTo(app, 1, { hold: true })
  r.steering.park(app)
  const [listener] = r.steering.listeners({ app, release: 2 })
  assert.ok(listener)
  const probes = Array.from({ length: 10 }, () => fateOf(r.steering.probe({ app, release: 2 }, listener)))
  await sleep(300)
  await v2.kill()
  assert.deepEqual(await Promise.all(probes), Array(10).fill('ECONNRESET'))
  assert.equal(r.steering.counters().migrated, 0)
})
