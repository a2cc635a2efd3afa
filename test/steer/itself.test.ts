/** A release that calls one of its own ports reaches itself; the daemon's probe reaches the release that it is for. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { openMap } from '../../src/linux/bpf-map.ts'
import { connectionKey, layoutVersion, probesCounter, releaseKey, u32 } from '../../src/strategies/steer/layout.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { eventually } from '../support/workspace.ts'
import { ask, askOver, askTimes, keepAsking, startApp, startSteering, type TestSteering } from './fixtures.ts'

const skip = asRoot || needs('python3')
const back = `listen('::', 9000, v6only=0)`
/** A front that tells who it is and who its back is, over either family and as an IPv6 socket calls an IPv4 address. */
const front = `listen('0.0.0.0', 8080, answer=lambda: ' '.join([name, ask('127.0.0.1', 9000), ask('::1', 9000), ask('::ffff:127.0.0.1', 9000)]))`

const setSyncookies = (t: TestContext, value: number) => {
  const file = '/proc/sys/net/ipv4/tcp_syncookies'
  const before = readFileSync(file)
  writeFileSync(file, String(value))
  t.after(() => writeFileSync(file, before))
}

const mapOf = ({ pins }: TestSteering, name: string) => openMap(`${pins}/${layoutVersion}/maps/${name}`)

/** The connections that must reach one release: how many are entered, and how many the programs expect, of releases and of the daemon. */
function named(node: TestSteering): [entered: number, ownCalls: number, probes: number] {
  using who = mapOf(node, 'who')
  using counters = mapOf(node, 'counters')
  const level = (index: number) => Number(counters.get(u32(index))?.readBigInt64LE(0))
  return [who.keys().length, level(probesCounter - 1), level(probesCounter)]
}
const isNone = (levels: readonly number[]) => levels.every((level) => level === 0)

for (const syncookies of [1, 2]) {
  test(`fronts reach their own backs in the middle of switches, the dark one too, tcp_syncookies=${syncookies}`, {
    skip,
  }, async (t) => {
    setSyncookies(t, syncookies)
    const node = startSteering(t)
    const { steering } = node
    steering.addApp(1, { ports: [8080, 9000], holdMs: 0 })
    for (const release of [1, 2]) {
      const app = await startApp(t, node.release({ app: 1, release }), `v${release}`)
      await app.run(back)
      await app.run(front)
    }
    steering.park(1)
    steering.switchTo(1, 1, { hold: false })
    const second = { app: 1, release: 2 }
    const listener = steering.listeners(second).find(({ port }) => port === 8080)
    assert.ok(listener)

    const stopClients = keepAsking(6, () => ask(8080))
    const stopProbes = keepAsking(1, () => askOver(steering.probe(second, listener)))
    for (let i = 0; i < 200; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10))
      steering.switchTo(1, 1 + (i % 2), { hold: false })
    }
    const clients = await stopClients()
    const probes = await stopProbes()
    t.diagnostic(`${JSON.stringify(clients)}, probes ${JSON.stringify(probes)}`)
    assert.deepEqual(Object.keys(clients).toSorted(), ['v1 v1 v1 v1', 'v2 v2 v2 v2'])
    assert.deepEqual(Object.keys(probes), ['v2 v2 v2 v2'])
    await eventually(() => isNone(named(node)))
  })
}

test('a release without a back of its own is refused, never given the other’s', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080, 9000], holdMs: 5000 })
  const v1 = await startApp(t, node.release({ app: 1, release: 1 }), 'v1')
  const v2 = await startApp(t, node.release({ app: 1, release: 2 }), 'v2')
  await v1.run(back)
  await v1.run(front)
  await v2.run(front)
  steering.park(1)
  steering.switchTo(1, 1, { hold: true })
  assert.equal(await v2.run(`ask('127.0.0.1', 9000)`), 'ECONNREFUSED')
  assert.equal(await ask(8080), 'v1 v1 v1 v1')
  const [dark] = steering.listeners({ app: 1, release: 2 })
  assert.ok(dark)
  assert.equal(await askOver(steering.probe({ app: 1, release: 2 }, dark)), 'v2 ECONNREFUSED ECONNREFUSED ECONNREFUSED')
  assert.equal(await askOver(steering.probe({ app: 1, release: 3 }, dark)), 'ECONNREFUSED', 'no such release')
})

test('a call to another app meets its active release, and one to a stranger at another address the stranger', {
  skip,
}, async (t) => {
  // A port of this test alone: a stranger's closed connection keeps its port from others for a minute.
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8070], holdMs: 0 })
  steering.addApp(2, { ports: [9000], holdMs: 0 })
  const caller = await startApp(t, node.release({ app: 1, release: 1 }), 'caller')
  await caller.run(`listen('127.0.0.1', 8070)`)
  for (const release of [1, 2]) {
    const app = await startApp(t, node.release({ app: 2, release }), `b${release}`)
    await app.run(`listen('127.0.0.1', 9000)`)
  }
  const stranger = await startApp(t, null, 'stranger')
  await stranger.run(`listen('127.0.0.5', 8070)`)
  for (const release of [1, 2]) {
    steering.switchTo(2, release, { hold: false })
    assert.equal(await caller.run(`ask('127.0.0.1', 9000)`), `b${release}`)
  }
  assert.equal(await caller.run(`ask('127.0.0.1', 8070)`), 'caller')
  assert.equal(await caller.run(`ask('127.0.0.5', 8070)`), 'stranger')
})

test('what a release accepted from the public is counted, its own calls and probes are not', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  const ref = { app: 1, release: 1 }
  steering.addApp(1, { ports: [8080, 9000], holdMs: 0 })
  const app = await startApp(t, node.release(ref), 'v1')
  await app.run(back)
  await app.run(front)
  const listener = steering.listeners(ref).find(({ port }) => port === 8080)
  assert.ok(listener)
  for (let i = 0; i < 5; i++) await askOver(steering.probe(ref, listener))
  assert.equal(steering.accepted(ref), 0)
  steering.switchTo(1, 1, { hold: false })
  assert.deepEqual(await askTimes(7, 8080), { 'v1 v1 v1 v1': 7 })
  assert.equal(steering.accepted(ref), 7)
})

test('what ends without a word is not looked for any longer, nor what another version entered counted off', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const ref = { app: 1, release: 1 }
  node.steering.addApp(1, { ports: [9000], holdMs: 0 })
  const app = await startApp(t, node.release(ref), 'v1')
  await app.run(back)
  const [listener] = node.steering.listeners(ref)
  assert.ok(listener)
  const call = `(kept := socket.create_connection(('127.0.0.1', 9000))).getsockname()[1]`
  const callFrom = async (): Promise<Buffer> => {
    const port = Number(await app.run(call))
    return connectionKey({ address: '127.0.0.1', port }, { address: '127.0.0.1', port: 9000 })
  }

  await callFrom()
  node.steering.probe(ref, listener)
  assert.deepEqual(named(node), [2, 1, 1])
  // The daemon that asked has gone with its connection.
  node.reopen()
  assert.equal(named(node)[2], 0)

  const key = await callFrom()
  using who = mapOf(node, 'who')
  who.set(key, u32(releaseKey(ref), 0))
  await app.run('kept.close()')
  await eventually(() => who.get(key) === null)
  assert.equal(named(node)[1], 1, 'of the one that was counted and replaced')
  await callFrom()
  assert.equal(named(node)[1], 2)
  await app.kill()
  await eventually(() => named(node)[1] === 1)
})

test('while nobody is to reach one release alone, no entry is looked for: one of a daemon that has gone names nobody', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [9000], holdMs: 0 })
  for (const release of [1, 2]) {
    const app = await startApp(t, node.release({ app: 1, release }), `v${release}`)
    await app.run(back)
  }
  steering.switchTo(1, 1, { hold: false })
  using who = mapOf(node, 'who')
  const local = { address: '127.0.0.1', port: 9000 }
  const answerFrom = (localPort: number) => {
    who.set(connectionKey({ address: '127.0.0.1', port: localPort }, local), u32(releaseKey({ app: 1, release: 2 }), 0))
    return askOver(connect({ host: '127.0.0.1', port: 9000, localPort }))
  }
  assert.equal(await answerFrom(20_001), 'v1')
  assert.equal(steering.accepted({ app: 1, release: 1 }), 1, 'it is the public')

  const [dark] = steering.listeners({ app: 1, release: 2 })
  assert.ok(dark)
  const probe = steering.probe({ app: 1, release: 2 }, dark)
  assert.equal(await answerFrom(20_002), 'v2')
  assert.equal(await askOver(probe), 'v2')
})
