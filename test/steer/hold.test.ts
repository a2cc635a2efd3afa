/** While nothing can serve them, connections are parked for `hold`, then refused; daemon or no daemon. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { eventually } from '../support/workspace.ts'
import { ask, startApp, startSteering, tally, waitingClient } from './fixtures.ts'

const skip = asRoot || needs('python3')
const v1 = { app: 1, release: 1 }
const listen = `listen('0.0.0.0', 8080)`

test('without hold a client that nothing can serve is refused at once', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 5000 })
  const app = await startApp(t, node.release(v1), 'v1')
  await app.run(listen)
  steering.park(1)
  assert.equal(await ask(8080), 'ECONNREFUSED', 'dark')
  steering.switchTo(1, 1, { hold: false })
  assert.equal(await ask(8080), 'v1')
  await app.kill()
  assert.equal(await ask(8080), 'ECONNREFUSED', 'dead')
  assert.equal(steering.parked(1), 0)
})

test('what waits for a worker that crashed is served by the next one', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 60_000 })
  const cgroup = node.release(v1)
  const app = await startApp(t, cgroup, 'first')
  await app.run(`listen('0.0.0.0', 8080, accept=False)`)
  steering.park(1)
  steering.switchTo(1, 1, { hold: true })
  const queued = await Promise.all([1, 2, 3].map(() => waitingClient(8080)))
  await app.kill()
  const parked = await Promise.all([1, 2, 3, 4].map(() => waitingClient(8080)))
  await eventually(() => steering.parked(1) === 7)
  assert.equal(steering.counters().parked, 7)
  const next = await startApp(t, cgroup, 'next')
  await next.run(listen)
  assert.equal(steering.unpark(1), 7)
  const answers = await Promise.all([...queued, ...parked].map(({ answer }) => answer))
  assert.deepEqual(tally(answers), { next: 7 })
  assert.equal(steering.accepted(v1), 3 + 7, 'those that were queued were made with it before, and waited again')
})

test('past the deadline new clients are refused without a daemon, and the next one closes and counts those that waited', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  node.steering.addApp(1, { ports: [8080], holdMs: 3000 })
  const cgroup = node.release(v1)
  const app = await startApp(t, cgroup, 'v1')
  await app.run(listen)
  node.steering.park(1)
  node.steering.switchTo(1, 1, { hold: true })
  await app.kill()
  node.steering.close()

  const clients = await Promise.all([1, 2, 3].map(() => waitingClient(8080)))
  // A client that comes before the deadline waits, one that comes after it is refused: sooner or later one is.
  const more: ReturnType<typeof waitingClient>[] = []
  for (;;) {
    const one = waitingClient(8080)
    if (
      await one.then(
        () => false,
        () => true,
      )
    )
      break
    more.push(one)
    await pause(100)
  }
  assert.ok(more.length > 0)
  assert.equal(await ask(8080), 'ECONNREFUSED')

  const steering = node.reopen()
  steering.addApp(1, { ports: [8080], holdMs: 3000 })
  assert.ok((steering.counters().too_late ?? 0) >= 2)
  assert.equal(steering.parked(1), 3 + more.length)
  assert.equal(steering.unpark(1), 0)
  assert.equal(steering.closeParked(1), 3 + more.length)
  assert.equal(steering.counters().closed_late, 3 + more.length)
  assert.equal(steering.parked(1), 0)
  const ends = await Promise.all([...clients, ...(await Promise.all(more))].map(({ answer }) => answer))
  assert.ok(
    ends.every((end) => end === 'ECONNRESET' || end === 'closed'),
    ends.join(),
  )
  assert.equal(await ask(8080), 'ECONNREFUSED', 'the hold is over until the release listens again')

  // The release comes back and dies again: a new hold.
  const next = await startApp(t, cgroup, 'v1')
  await next.run(listen)
  assert.equal(await ask(8080), 'v1')
  await next.kill()
  const parked = await waitingClient(8080)
  assert.equal(steering.closeParked(1), 0, 'not yet over')
  assert.equal(steering.parked(1), 1)
  parked.end()
})

test('of two ports only the one that is back is handed on; the other waits, with a time of its own', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080, 9000], holdMs: 60_000 })
  const cgroup = node.release(v1)
  const app = await startApp(t, cgroup, 'v1')
  await app.run(listen)
  await app.run(`listen('0.0.0.0', 9000)`)
  steering.park(1)
  steering.switchTo(1, 1, { hold: true })
  await app.kill()
  const first = await waitingClient(8080)
  const second = await waitingClient(9000)
  const next = await startApp(t, cgroup, 'next')
  await next.run(listen)
  assert.equal(steering.closeParked(1), 0, 'a new epoch does not end the time of those that wait')
  assert.equal(steering.unpark(1), 1)
  assert.equal(await first.answer, 'next')
  assert.equal(steering.parked(1), 1)
  await next.run(`listen('0.0.0.0', 9000)`)
  assert.equal(steering.unpark(1), 1)
  assert.equal(await second.answer, 'next')
})

test('a port that the active release does not have refuses at once, however long connections may be parked', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080, 8443], holdMs: 60_000 })
  const ports = [8080, 8443].map((port) => ({ port, address: null }))
  const former = await startApp(t, node.release(v1, ports), 'v1')
  await former.run(listen)
  await former.run(`listen('0.0.0.0', 8443)`)
  steering.park(1)
  steering.switchTo(1, 1, { hold: true })
  const next = await startApp(t, node.release({ app: 1, release: 2 }, ports.slice(0, 1)), 'v2')
  await next.run(listen)
  steering.park(1)
  steering.switchTo(1, 2, { hold: true })
  assert.equal(await ask(8443), 'ECONNREFUSED')
  assert.equal(steering.parked(1), 0)
  await next.kill()
  const waiting = await waitingClient(8080)
  assert.equal(await ask(8443), 'ECONNREFUSED')
  assert.equal(steering.parked(1), 1)
  waiting.end()
  steering.switchTo(1, 1, { hold: true })
  assert.equal(await ask(8443), 'v1', 'back to the release that has it')
})

test('an app that is stopped while clients are parked refuses the new ones and closes the others', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 60_000 })
  const app = await startApp(t, node.release(v1), 'v1')
  await app.run(listen)
  steering.park(1)
  steering.switchTo(1, 0, { hold: true })
  const client = await waitingClient(8080)
  steering.switchTo(1, 0, { hold: false })
  assert.equal(await ask(8080), 'ECONNREFUSED')
  assert.equal(steering.closeParked(1), 1)
  assert.match(await client.answer, /^(ECONNRESET|closed)$/)
})
