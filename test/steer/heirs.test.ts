import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { eventually } from '../support/workspace.ts'
import { app, ask, type Rig, rig, tally } from './rig.ts'

const skip = asRoot || needs('python3')
const port = 8080

const waitingAt = ({ steering }: Rig, release: number) =>
  steering.listeners({ app, release }).reduce((sum, { waiting }) => sum + waiting, 0)

test('what waits in the queue of a process that is killed goes to the active release', { skip }, async (t) => {
  const r = rig(t, [port])
  const [v1, v2, v3] = await Promise.all([r.puppet(1), r.puppet(2), r.puppet(3)])
  await v1.do('open', { id: 'a', address: '0.0.0.0', port, backlog: 200 })
  await v2.listens('v2', port)
  await v3.listens('v3', port)
  r.steering.park(app)
  r.steering.switchTo(app, 1, { hold: false })
  const fates = Array.from({ length: 100 }, () => ask(port))
  await eventually(() => waitingAt(r, 1) === 100)
  r.steering.switchTo(app, 2, { hold: false })
  await v1.kill()
  assert.deepEqual(tally(await Promise.all(fates)), { v2: 100 })
})

test('a worker that is killed leaves its queue to another worker of its release', { skip }, async (t) => {
  const r = rig(t, [port])
  const [w1, w2, dark] = [await r.puppet(1, { worker: 1 }), await r.puppet(1, { worker: 2 }), await r.puppet(2)]
  await w1.do('open', { id: 'a', address: '0.0.0.0', port, backlog: 200 })
  r.steering.switchTo(app, 1, { hold: false })
  r.steering.park(app)
  const fates = Array.from({ length: 50 }, () => ask(port))
  await eventually(() => waitingAt(r, 1) === 50)
  await dark.listens('dark', port)
  await w2.listens('w2', port)
  await w1.kill()
  assert.deepEqual(tally(await Promise.all(fates)), { w2: 50 })
})

test('what waits stays with the release that was left, and is answered by it', { skip }, async (t) => {
  const r = rig(t, [port])
  const [v1, v2] = await Promise.all([r.puppet(1), r.puppet(2)])
  await v1.do('open', { id: 'a', address: '0.0.0.0', port, backlog: 200 })
  await v2.listens('v2', port)
  r.steering.park(app)
  r.steering.switchTo(app, 1, { hold: false })
  const fates = Array.from({ length: 50 }, () => ask(port))
  await eventually(() => waitingAt(r, 1) === 50)
  r.steering.switchTo(app, 2, { hold: false })
  assert.equal(await ask(port), 'v2')
  await v1.do('answer', { id: 'a', text: 'v1' })
  assert.deepEqual(tally(await Promise.all(fates)), { v1: 50 })
})

test('a hundred parked connections are all answered when there is a release again', { skip }, async (t) => {
  const r = rig(t, [port])
  const v1 = await r.puppet(1)
  await v1.listens('v1', port)
  r.steering.switchTo(app, 1, { hold: true })
  r.steering.park(app)
  r.steering.switchTo(app, 0, { hold: true })
  const fates = Array.from({ length: 100 }, () => ask(port))
  await eventually(() => r.steering.parked(app) === 100)
  r.steering.switchTo(app, 1, { hold: true })
  assert.equal(r.steering.unpark(app), 100)
  assert.deepEqual(tally(await Promise.all(fates)), { v1: 100 })
  assert.equal(r.steering.parked(app), 0)
  assert.equal(await ask(port), 'v1')

  r.steering.switchTo(app, 0, { hold: true })
  const again = ask(port)
  await eventually(() => r.steering.parked(app) === 1)
  r.steering.switchTo(app, 1, { hold: true })
  assert.equal(r.steering.unpark(app), 1)
  assert.equal(await again, 'v1', 'park works a second time')
})

test('while the only process of a release is started again nobody is refused, its queue included', {
  skip,
}, async (t) => {
  const r = rig(t, [port])
  const first = await r.puppet(1)
  await first.do('open', { id: 'a', address: '0.0.0.0', port, backlog: 200 })
  r.steering.switchTo(app, 1, { hold: true })
  r.steering.park(app)
  const queued = Array.from({ length: 20 }, () => ask(port))
  await eventually(() => waitingAt(r, 1) === 20)
  await first.kill()
  const late = Array.from({ length: 20 }, () => ask(port))
  await eventually(() => r.steering.parked(app) === 40)
  const second = await r.puppet(1)
  assert.equal(await second.listens('v1', port), 'ok')
  assert.equal(r.steering.unpark(app), 40)
  assert.deepEqual(tally(await Promise.all([...queued, ...late])), { v1: 40 })
})

test('what waits at a listener that its app shuts down is parked, and answered when it listens again', {
  skip,
}, async (t) => {
  const r = rig(t, [port])
  const v1 = await r.puppet(1)
  await v1.do('open', { id: 'a', address: '0.0.0.0', port, backlog: 200 })
  r.steering.switchTo(app, 1, { hold: true })
  r.steering.park(app)
  const fates = Array.from({ length: 20 }, () => ask(port))
  await eventually(() => waitingAt(r, 1) === 20)
  await v1.do('shutdown', { id: 'a' })
  await eventually(() => r.steering.parked(app) === 20)
  await v1.do('listen', { id: 'a' })
  await v1.do('answer', { id: 'a', text: 'v1' })
  assert.equal(r.steering.unpark(app), 20)
  assert.deepEqual(tally(await Promise.all(fates)), { v1: 20 })
})

test('past the deadline of a hold new connections are refused, and those that wait are closed and counted', {
  skip,
}, async (t) => {
  const r = rig(t, [port], 1000)
  const v1 = await r.puppet(1)
  await v1.listens('v1', port)
  r.steering.switchTo(app, 1, { hold: true })
  r.steering.park(app)
  await v1.kill()
  const early = Array.from({ length: 5 }, () => ask(port))
  await eventually(() => r.steering.parked(app) === 5)
  assert.equal(r.steering.closeParked(app), 0, 'within the deadline')
  await sleep(1200)
  assert.equal(await ask(port), 'ECONNREFUSED')
  assert.equal(r.steering.closeParked(app), 5)
  assert.deepEqual(tally(await Promise.all(early)), { ECONNRESET: 5 })
  const { parked, too_late: tooLate, closed_late: closedLate } = r.steering.counters()
  assert.equal(parked, 5)
  assert.equal(closedLate, 5)
  assert.ok(tooLate !== undefined && tooLate > 0)

  const back = await r.puppet(1)
  await back.listens('v1', port)
  assert.equal(await ask(port), 'v1')
  await back.kill()
  const next = ask(port)
  await eventually(() => r.steering.parked(app) === 1)
  await (await r.puppet(1)).listens('v1', port)
  r.steering.unpark(app)
  assert.equal(await next, 'v1', 'the next hold has its own deadline')
})

test('without hold what nothing can serve is refused at once, and the port stays reserved', { skip }, async (t) => {
  const r = rig(t, [port])
  const v1 = await r.puppet(1)
  await v1.listens('v1', port)
  r.steering.switchTo(app, 1, { hold: false })
  r.steering.park(app)
  await v1.kill()
  assert.equal(await ask(port), 'ECONNREFUSED')
  const stranger = await r.puppet(0)
  assert.equal(await stranger.listens('stranger', port), 'EADDRINUSE')
})
