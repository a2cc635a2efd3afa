/** New connections move from one release to another in one step, and nothing is lost. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { ask, keepAsking, startApp, startSteering, tally } from './fixtures.ts'

const skip = asRoot || needs('python3')
const listen = `listen('0.0.0.0', 8080)`

test('200 switches under 16 clients lose nothing, and each moves every new connection', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 5000 })
  for (const release of [1, 2]) {
    const app = await startApp(t, node.release({ app: 1, release }), `v${release}`)
    await app.run(listen)
  }
  steering.park(1)
  steering.switchTo(1, 1, { hold: true })
  const stop = keepAsking(16, () => ask(8080))
  for (let i = 1; i <= 200; i++) {
    const release = 1 + (i % 2)
    steering.switchTo(1, release, { hold: true })
    if (i % 10 === 0) assert.equal(await ask(8080), `v${release}`)
    else await pause(10)
  }
  const answers = await stop()
  t.diagnostic(JSON.stringify(answers))
  assert.deepEqual(Object.keys(answers).toSorted(), ['v1', 'v2'])
  const { parked, dropped } = steering.counters()
  assert.deepEqual({ parked, dropped }, { parked: 0, dropped: 0 })
})

test('all ports of an app move in one step', { skip }, async (t) => {
  const ports = [8080, 8081, 8082]
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports, holdMs: 0 })
  for (const release of [1, 2]) {
    const app = await startApp(t, node.release({ app: 1, release }), `v${release}`)
    for (const port of ports) await app.run(`listen('0.0.0.0', ${port})`)
  }
  for (let i = 0; i < 50; i++) {
    const release = 1 + (i % 2)
    steering.switchTo(1, release, { hold: false })
    assert.deepEqual(tally(await Promise.all(ports.map((port) => ask(port)))), { [`v${release}`]: ports.length })
  }
})

test('the ninth release that would live at one time is refused, and the eight go on', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  for (let release = 1; release <= 8; release++) {
    const app = await startApp(t, node.release({ app: 1, release }), `v${release}`)
    await app.run(listen)
  }
  assert.throws(() => node.release({ app: 1, release: 9 }), /8 releases of this app run already/)
  assert.equal(steering.releases().length, 8)
  for (let release = 1; release <= 8; release++) {
    steering.switchTo(1, release, { hold: false })
    assert.equal(await ask(8080), `v${release}`)
  }
  steering.switchTo(1, 0, { hold: false })
  assert.equal(await ask(8080), 'ECONNREFUSED', 'the eighth is looked at as well before a packet is let through')
  steering.removeRelease({ app: 1, release: 3 })
  const next = await startApp(t, node.release({ app: 1, release: 9 }), 'v9')
  await next.run(listen)
  steering.switchTo(1, 9, { hold: false })
  assert.equal(await ask(8080), 'v9')
})

test('a release that could not be added leaves nothing behind', { skip: asRoot }, (t) => {
  const { steering } = startSteering(t)
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  for (let i = 0; i < 20; i++)
    assert.throws(() => steering.addRelease({ app: 1, release: i + 1 }, '/no/such/cgroup'), /ENOENT/)
  assert.deepEqual(steering.releases(), [])
})
