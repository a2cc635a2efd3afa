/** Whose port is whose: declared ports, those that nobody declared, other apps', other programs', low ones, and MPTCP. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CutoverError } from '../../src/core/errors.ts'
import { sinceLinux } from '../support/kernel.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { ask, askTimes, errorOf, startApp, startSteering } from './fixtures.ts'

const skip = asRoot || needs('python3', 'util-linux')
const v1 = { app: 1, release: 1 }
const v2 = { app: 1, release: 2 }

test('an MPTCP socket is refused as where the kernel has none, and TCP works', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const app = await startApp(t, node.release(v1), 'v1')
  assert.equal(await errorOf(app.run(`made('0.0.0.0', protocol=262)`)), 'EPROTONOSUPPORT')
  assert.equal(await errorOf(app.run(`made('::', protocol=262)`)), 'EPROTONOSUPPORT')
  assert.equal(steering.counters().mptcp_refused, 2)
  await app.run(`listen('0.0.0.0', 8080, protocol=6)`)
  steering.switchTo(1, 1, { hold: false })
  assert.equal(await ask(8080), 'v1')
})

test('an ordinary user may listen on a low port that is declared, and only there', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [80], holdMs: 0 })
  const app = await startApp(t, node.release(v1), 'v1', { uid: 65_534 })
  assert.equal(await errorOf(app.run(`listen('0.0.0.0', 81)`)), 'EACCES')
  await app.run(`listen('0.0.0.0', 80)`)
  steering.park(1)
  assert.deepEqual(
    steering.listeners({ app: 1, release: 0 }).map(({ port, uid }) => [port, uid]),
    [[80, 65_534]],
  )
  steering.switchTo(1, 1, { hold: false })
  assert.equal(await ask(80), 'v1')

  // Park is in the group of that user's sockets: what waits there comes to them.
  const next = await startApp(t, node.release(v2), 'v2', { uid: 65_534 })
  await next.run(`listen('0.0.0.0', 80)`)
  steering.switchTo(1, 0, { hold: true })
  steering.addApp(1, { ports: [80], holdMs: 60_000 })
  const waiting = ask(80)
  while (steering.parked(1) === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  steering.switchTo(1, 2, { hold: true })
  assert.equal(steering.unpark(1), 1)
  assert.equal(await waiting, 'v2')
})

test('a fixed port that nobody declared is shared by the releases, follows the active one, and goes with the last', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const first = await startApp(t, node.release(v1), 'v1')
  const second = await startApp(t, node.release(v2), 'v2')
  for (const app of [first, second]) {
    await app.run(`listen('0.0.0.0', 8080)`)
    await app.run(`listen('127.0.0.1', 9090)`)
  }
  steering.park(1)
  assert.deepEqual(steering.ports(1), [
    { port: 8080, declared: true },
    { port: 9090, declared: false },
  ])
  assert.deepEqual(
    steering.listeners({ app: 1, release: 0 }).map(({ port }) => port),
    [8080],
    'park holds what is declared',
  )
  steering.switchTo(1, 1, { hold: false })
  assert.deepEqual(await askTimes(50, 9090), { v1: 50 })
  steering.switchTo(1, 2, { hold: false })
  assert.deepEqual(await askTimes(50, 9090), { v2: 50 })
  // The group has its program without park: what waits in the one that is left goes to the other.
  await first.kill()
  steering.removeRelease(v1)
  assert.equal(steering.ports(1).length, 2)
  assert.equal(await ask(9090), 'v2')
  await second.kill()
  steering.removeRelease(v2)
  assert.deepEqual(steering.ports(1), [{ port: 8080, declared: true }])
})

test('what waits at a port that nobody declared has an heir too', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const first = await startApp(t, node.release(v1), 'v1')
  const second = await startApp(t, node.release(v2), 'v2')
  await first.run(`listen('127.0.0.1', 9090, accept=False)`)
  await second.run(`listen('127.0.0.1', 9090)`)
  steering.park(1)
  steering.switchTo(1, 1, { hold: false })
  const answers = Array.from({ length: 20 }, () => ask(9090))
  while (steering.listeners(v1)[0]?.waiting !== 20) await new Promise((resolve) => setTimeout(resolve, 5))
  steering.switchTo(1, 2, { hold: false })
  await first.kill()
  assert.deepEqual(await Promise.all(answers), Array(20).fill('v2'))
})

test('a port of another app gives EADDRINUSE as ever, and is not to be had by declaring it', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  steering.addApp(2, { ports: [9000], holdMs: 0 })
  const owner = await startApp(t, node.release(v1), 'owner')
  await owner.run(`listen('0.0.0.0', 8080)`)
  steering.switchTo(1, 1, { hold: false })
  const other = await startApp(t, node.release({ app: 2, release: 1 }), 'other')
  steering.switchTo(2, 1, { hold: false })
  assert.equal(await errorOf(other.run(`listen('0.0.0.0', 8080)`)), 'EADDRINUSE')
  assert.equal(steering.counters().others_port, 1)
  assert.deepEqual(await askTimes(20, 8080), { owner: 20 })
  assert.throws(
    () => steering.addApp(2, { ports: [9000, 8080], holdMs: 0 }),
    (error) =>
      error instanceof CutoverError && error.kind === 'refused' && /8080 belongs to another app/.test(error.message),
  )
  assert.deepEqual(steering.ports(2), [{ port: 9000, declared: true }])
})

test('a socket that is bound and listens later is lent with the port, and no other program’s is', {
  // Only then are such sockets told.
  skip: skip || sinceLinux('6.8'),
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const slow = await startApp(t, node.release(v1), 'slow')
  const foreigner = await startApp(t, null, 'foreigner')
  await slow.run(`bound('0.0.0.0', 8080)`)
  await foreigner.run(`bound('127.0.0.1', 8080, again=True)`)
  steering.lend(1, { to: 65_534, from: null })
  const owner = 'os.fstat(sockets[0].fileno()).st_uid'
  assert.deepEqual([await slow.run(owner), await foreigner.run(owner)], [65_534, 0])
})

test('a port that is declared no longer is kept while a release listens there, and then given back', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080, 9000], holdMs: 0 })
  const app = await startApp(t, node.release(v1), 'v1')
  await app.run(`listen('0.0.0.0', 9000)`)
  steering.park(1)
  steering.switchTo(1, 1, { hold: false })
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  assert.deepEqual(steering.ports(1), [
    { port: 8080, declared: true },
    { port: 9000, declared: false },
  ])
  assert.equal(await ask(9000), 'v1')
  await app.kill()
  steering.removeRelease(v1)
  assert.deepEqual(steering.ports(1), [{ port: 8080, declared: true }])
  const anybody = await startApp(t, null, 'anybody')
  await anybody.run(`listen('0.0.0.0', 9000, again=True)`)
  assert.equal(await ask(9000), 'anybody')
})

test('park holds the port when no release listens any more, and `removeApp` gives it back', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const app = await startApp(t, node.release(v1), 'v1')
  await app.run(`listen('0.0.0.0', 8080)`)
  steering.park(1)
  await app.kill()
  steering.removeRelease(v1)
  const anybody = await startApp(t, null, 'anybody')
  assert.equal(await errorOf(anybody.run(`listen('0.0.0.0', 8080, again=True)`)), 'EADDRINUSE')
  assert.equal(await ask(8080), 'ECONNREFUSED')
  steering.removeApp(1)
  await anybody.run(`listen('0.0.0.0', 8080, again=True)`)
  assert.equal(await ask(8080), 'anybody')
})

test('an address that cannot be held is told with the reason', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080, 9000], holdMs: 0 })
  const app = await startApp(t, node.release(v1), 'v1')
  // IP_FREEBIND (15): an address that the machine does not have, as those who wait for a failover do.
  await app.run(
    `(made('10.99.0.1'), sockets[0].setsockopt(0, 15, 1), sockets[0].bind(('10.99.0.1', 8080)), sockets[0].listen(9))`,
  )
  assert.throws(
    () => steering.park(1),
    (error) =>
      error instanceof CutoverError && /Port 8080 of 10\.99\.0\.1.*not an address of this machine/.test(error.message),
  )
  assert.deepEqual(steering.listeners({ app: 1, release: 0 }), [])
  await app.run('close(sockets[0])')
  await app.run(`listen('0.0.0.0', 9000)`)
  // The kernel lets a socket of the same user in that neither shares nor listens yet: it stands in the way of everybody else.
  const other = await startApp(t, null, 'other')
  assert.equal(await errorOf(other.run(`listen('0.0.0.0', 9000, again=True)`)), 'EADDRINUSE')
  steering.park(1)
  assert.equal(steering.listeners({ app: 1, release: 0 }).length, 1)
})
