/** The places of one port and the program that chooses among them, as an ordinary user. */
import '../support/ordinary.ts'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { listenersOn } from '../../src/linux/sock-diag.ts'
import { listen, shutDown, socketCookie } from '../../src/linux/sockets.ts'
import { choice, probeAddress } from '../../src/strategies/share/program.ts'
import { maxAlive } from '../../src/strategies/steering.ts'
import { connected, everyPlace, groupAt, openGroup, placeOf, port, probedPlaces, to } from './fixtures.ts'

test('clients of both families get the active place, and a probe the one that its address names', async (t) => {
  const group = openGroup(t, 3, [0, 3, 5])
  assert.deepEqual(await placeOf(group), [3])
  assert.deepEqual(await placeOf(group, { host: '::1' }), [3])
  assert.deepEqual(await placeOf(group, { from: probeAddress(0) }), [0])
  assert.deepEqual(await placeOf(group, { from: probeAddress(5) }), [5])
  // Of a place that nobody has there is nothing to be asked.
  assert.deepEqual(await placeOf(group, { from: probeAddress(1) }), [3])
  assert.deepEqual(await placeOf(group, { from: '127.83.1.1' }), [3])
  for (const place of everyPlace) {
    group.direct(to(place, []))
    assert.deepEqual(await placeOf(group), [place])
    assert.deepEqual(await placeOf(group, { host: '::1' }), [place])
  }
})

test('a place that is lent has the whole queue again, and waits, whatever its program before had made of it', (t) => {
  const group = openGroup(t, 0, [0, 1])
  const queue = () => listenersOn([port]).find(({ cookie }) => cookie === socketCookie(group.socket(1)))?.sendQueue
  const whole = queue()
  listen(group.socket(1), 1)
  assert.equal(queue(), 1)
  group.lend(1)
  assert.equal(queue(), whole)
})

test('whichever place began to listen first, each has its number', async (t) => {
  for (const first of everyPlace) {
    const group = groupAt(t)
    group.open(to(2, everyPlace, first))
    assert.deepEqual(await probedPlaces(group), everyPlace)
    assert.deepEqual(await placeOf(group), [2])
    for (const ended of [[5], [7, 6], [1, 5, 4]]) {
      for (const place of ended) shutDown(group.socket(place))
      group.mend(to(2, everyPlace, first))
      assert.deepEqual(await probedPlaces(group), everyPlace)
    }
    group.destroy()
  }
})

test('the program never names a place that there is not, and never jumps out of itself', () => {
  for (const active of everyPlace)
    for (let probed = 0; probed < 2 ** maxAlive; probed++) {
      const code = choice(
        active,
        everyPlace.filter((place) => probed & (1 << place)),
        probed % maxAlive,
      )
      const steps = code.length / 8
      for (let at = 0; at < steps; at++) {
        const [operation, value] = [code.readUInt16LE(at * 8), code.readUInt32LE(at * 8 + 4)]
        if (operation === 0x06) assert.ok(value < maxAlive)
        if (operation === 0x15) assert.ok(at + 1 + Math.max(code[at * 8 + 2] ?? 0, code[at * 8 + 3] ?? 0) < steps)
      }
      assert.equal(code.readUInt16LE((steps - 1) * 8), 0x06)
    }
})

test('a port that was shut refuses, stays taken, and when it opens each number means what it did', async (t) => {
  const group = openGroup(t, 2)
  group.shut()
  await assert.rejects(connected(), { code: 'ECONNREFUSED' })
  const stranger = createServer()
  t.after(() => stranger.close())
  await assert.rejects(once(stranger.listen(port), 'listening'), { code: 'EADDRINUSE' })
  assert.deepEqual(group.listeners(), [])
  group.shut()
  group.direct(to(1))
  group.open(to(2))
  assert.deepEqual(await probedPlaces(group), everyPlace)
  assert.deepEqual(await placeOf(group), [2])
})

for (const ended of [[0], [3], [7], [0, 5], [3, 4], [4, 3], [6, 7], [7, 6], [0, 1, 2]])
  test(`places ${ended.join(', ')} that programs ended by themselves get their numbers back`, async (t) => {
    for (const active of everyPlace.filter((place) => !ended.includes(place))) {
      const group = openGroup(t, active)
      for (const place of ended) shutDown(group.socket(place))
      group.mend(to(active))
      assert.deepEqual(await probedPlaces(group), everyPlace)
      assert.deepEqual(await placeOf(group), [active])
      group.destroy()
    }
  })

test('who waits at the active place goes on waiting while the place of another release is mended', async (t) => {
  for (const active of everyPlace)
    for (const ended of everyPlace) {
      if (active === ended) continue
      const group = openGroup(t, active)
      const clients = [await connected(), await connected()]
      shutDown(group.socket(ended))
      clients.push(await connected())
      group.mend(to(active))
      assert.equal(group.listeners().find(({ place }) => place === active)?.waiting, 3, `${active}, ${ended} ended`)
      for (const client of clients) client.destroy()
      group.destroy()
    }
})

test('so it is where several ended that came after the active one', async (t) => {
  const group = openGroup(t, 1)
  const clients = [await connected()]
  for (const place of [5, 2, 4]) shutDown(group.socket(place))
  clients.push(await connected())
  group.mend(to(1))
  clients.push(await connected())
  assert.equal(group.listeners().find(({ place }) => place === 1)?.waiting, 3)
  assert.deepEqual(await probedPlaces(group), everyPlace)
  for (const client of clients) client.destroy()
})

test('what waits at a place that nobody has is closed, and counted', async (t) => {
  const group = openGroup(t, 4)
  const clients = [await connected(), await connected(), await connected({ from: probeAddress(0) })]
  assert.equal(group.closeWaiting(4), 2)
  assert.equal(group.closeWaiting(4), 0)
  assert.equal(group.closeWaiting(0), 1)
  for (const client of clients) client.destroy()
})

test('a port is taken at an IPv4 address, or everywhere, and at no address of IPv6 alone', async (t) => {
  const narrow = groupAt(t, '127.0.0.2')
  narrow.open(to(1))
  assert.deepEqual(narrow.endpoint, { family: 'ipv4', address: '127.0.0.2', port })
  assert.deepEqual(await placeOf(narrow, { host: '127.0.0.2' }), [1])
  await assert.rejects(connected({ host: '127.0.0.1' }), { code: 'ECONNREFUSED' })
  narrow.destroy()
  assert.throws(() => groupAt(t, 'fd00::7'), { kind: 'failed', message: /IPv4/ })
  assert.deepEqual(groupAt(t, '::').endpoint, { family: 'ipv6', address: '::', port })
})

test('a port that another program has, or that is too low, is named with the reason', async (t) => {
  const stranger = createServer().listen(port, '127.0.0.1')
  t.after(() => stranger.close())
  await once(stranger, 'listening')
  assert.throws(() => groupAt(t), {
    kind: 'failed',
    message: /^Port 8080 of :: cannot be had: another program, or another user, has it\. Nothing was switched\.$/,
  })
  assert.throws(() => groupAt(t, null, 80), {
    kind: 'failed',
    message: /^Port 80 of :: cannot be had: an ordinary user may not have a port that low/,
  })
})
