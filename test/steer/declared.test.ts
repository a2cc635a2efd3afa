/** `ports: [{port, address}]` in the kernel: a release is reachable exactly at the address that its config says, wherever it listens. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CutoverError } from '../../src/core/errors.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { ask, askOver, errorOf, startApp, startSteering, waitingClient } from './fixtures.ts'
import { outer4, outer6, outside, reachOf } from './outside.ts'

const skip = asRoot || needs('python3', 'iproute2')
const v1 = { app: 1, release: 1 }
const v2 = { app: 1, release: 2 }

/** How a release listens, the address that its config says, and who answers then, as `reachOf` writes it. */
const wishes = [
  { port: 9090, listen: `'127.0.0.1', 9090`, address: '::', reach: '111 000' },
  { port: 9091, listen: `'127.0.0.1', 9091`, address: '0.0.0.0', reach: '111 000' },
  { port: 9092, listen: `'127.0.0.1', 9092`, address: outer4, reach: '011 000' },
  { port: 9093, listen: `'0.0.0.0', 9093`, address: '127.0.0.1', reach: '100 000' },
  { port: 9094, listen: `'0.0.0.0', 9094`, address: outer4, reach: '011 000' },
  { port: 9095, listen: `'::', 9095, v6only=0`, address: '127.0.0.1', reach: '100 000' },
  { port: 9096, listen: `'::', 9096, v6only=0`, address: '::1', reach: '000 100' },
  { port: 9097, listen: `'::', 9097, v6only=0`, address: '0.0.0.0', reach: '111 000' },
  { port: 9098, listen: `'::', 9098, v6only=1`, address: '::', reach: '000 111' },
  { port: 9099, listen: `'::1', 9099`, address: '::', reach: '000 111' },
  { port: 9100, listen: `'::ffff:127.0.0.1', 9100, v6only=0`, address: '::', reach: '111 111' },
  { port: 9101, listen: `'0.0.0.0', 9101`, address: outer6, reach: '000 000' },
  { port: 9102, listen: `'0.0.0.0', 9102, device='va'`, address: '::', reach: '011 000' },
] as const

const declared = wishes.map(({ port, address }) => ({ port, address }))
const ports = wishes.map(({ port }) => port)

test('an app is reached at the address of its config and nowhere else, from here and from outside', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  const client = await outside(t)
  steering.addApp(1, { ports, holdMs: 60_000 })
  const first = await startApp(t, node.release(v1, declared), 'v1')
  for (const { listen } of wishes) await first.run(`listen(${listen})`)
  for (const port of ports) assert.equal(await reachOf(client, port, 'v1'), '000 000', `${port}, dark`)
  steering.park(1)
  for (const port of ports) assert.equal(await reachOf(client, port, 'v1'), '000 000', `${port}, dark beside park`)
  steering.switchTo(1, 1, { hold: true })
  for (const { port, reach } of wishes) assert.equal(await reachOf(client, port, 'v1'), reach, `${port}, v1`)

  // The next release says nothing, and is reached where it listens; the way back is as exact.
  const second = await startApp(t, node.release(v2), 'v2')
  for (const port of ports) await second.run(`listen('127.0.0.1', ${port})`)
  steering.park(1)
  for (const { port, reach } of wishes) assert.equal(await reachOf(client, port, 'v1'), reach, `${port}, v2 dark`)
  steering.switchTo(1, 2, { hold: true })
  for (const port of ports) assert.equal(await reachOf(client, port, 'v2'), '100 000', `${port}, v2`)
  steering.switchTo(1, 1, { hold: true })
  for (const { port, reach } of wishes) assert.equal(await reachOf(client, port, 'v1'), reach, `${port}, v1 again`)
})

test('a release is probed, and reaches itself, where it listens as well as where it is to be reached', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080, 8081], holdMs: 0 })
  const app = await startApp(
    t,
    node.release(v1, [
      { port: 8080, address: '127.0.0.2' },
      { port: 8081, address: '::' },
    ]),
    'v1',
  )
  await app.run(`(listen('127.0.0.1', 8080), listen('127.0.0.1', 8081))`)
  const probes = () => Promise.all(steering.listeners(v1).map((listener) => askOver(steering.probe(v1, listener))))
  assert.deepEqual(await probes(), ['v1', 'v1'])
  for (const [host, port] of [
    ['127.0.0.1', 8080],
    ['127.0.0.2', 8080],
    ['127.0.0.3', 8081],
  ] as const) {
    assert.equal(await ask(port, host), 'ECONNREFUSED', 'dark')
    assert.equal(await app.run(`ask('${host}', ${port})`), 'v1', `itself at ${host}`)
  }
  steering.switchTo(1, 1, { hold: false })
  assert.deepEqual(await probes(), ['v1', 'v1'])
  assert.equal(await ask(8080), 'ECONNREFUSED')
  assert.equal(await ask(8080, '127.0.0.2'), 'v1')
})

test('the address of the config is reserved too, and clients from there wait where the release can take them over', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  const client = await outside(t)
  steering.addApp(1, { ports: [8080], holdMs: 60_000 })
  const cgroup = node.release(v1, [{ port: 8080, address: '::' }])
  const app = await startApp(t, cgroup, 'v1')
  await app.run(`listen('127.0.0.1', 8080)`)
  steering.park(1)
  const held = () =>
    steering
      .listeners({ app: 1, release: 0 })
      .map(({ address }) => address)
      .toSorted()
  assert.deepEqual(held(), ['127.0.0.1', '::'])
  const anybody = await startApp(t, null, 'anybody')
  assert.equal(await errorOf(anybody.run(`listen('${outer4}', 8080, again=True)`)), 'EADDRINUSE')
  steering.switchTo(1, 1, { hold: true })
  await app.kill()
  const here = await waitingClient(8080)
  const there = client.run(`ask('${outer4}', 8080)`)
  while (steering.parked(1) < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.equal(await ask(8080, '::1'), 'ECONNREFUSED', 'nobody could take it over')
  const next = await startApp(t, cgroup, 'next')
  await next.run(`listen('127.0.0.1', 8080)`)
  assert.equal(steering.unpark(1), 2)
  assert.deepEqual([await here.answer, await there], ['next', 'next'])
  await next.kill()
  steering.removeRelease(v1)
  assert.deepEqual(held(), ['127.0.0.1', '::'], 'reserved until the app is removed')
})

test('park leaves an address when no release is reached there any more, and nobody waits for one that moved away', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  const address = null
  steering.addApp(1, { ports: [8080], holdMs: 60_000 })
  const first = await startApp(t, node.release(v1, [{ port: 8080, address }]), 'v1')
  const second = await startApp(t, node.release(v2, [{ port: 8080, address }]), 'v2')
  await first.run(`listen('0.0.0.0', 8080)`)
  await second.run(`listen('127.0.0.1', 8080)`)
  steering.park(1)
  steering.switchTo(1, 2, { hold: true })
  assert.equal(await ask(8080, '127.0.0.2'), 'ECONNREFUSED', 'v2 is not there: no use in waiting')
  const held = () => steering.listeners({ app: 1, release: 0 }).map((one) => one.address)
  assert.deepEqual(held().toSorted(), ['0.0.0.0', '127.0.0.1'])
  await first.kill()
  steering.removeRelease(v1)
  assert.deepEqual(held(), ['127.0.0.1'])
  const anybody = await startApp(t, null, 'anybody')
  await anybody.run(`listen('127.0.0.2', 8080, again=True)`)
  assert.equal(await ask(8080, '127.0.0.2'), 'anybody')
  assert.equal(await ask(8080), 'v2')

  // v2 and its park are away for a moment: who comes for its address waits in the place that it comes back to.
  await second.run('close(sockets[0])')
  const waiting = await waitingClient(8080)
  await second.run(`listen('127.0.0.1', 8080)`)
  assert.equal(steering.unpark(1), 1)
  assert.equal(await waiting.answer, 'v2')
})

test('an address that the machine does not have, or that another program has, cannot be declared', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080, 8081], holdMs: 0 })
  const app = await startApp(t, node.release(v1, [{ port: 8080, address: '10.99.0.1' }]), 'v1')
  await app.run(`listen('127.0.0.1', 8080)`)
  const failsWith = (words: RegExp) =>
    assert.throws(
      () => steering.park(1),
      (error) => error instanceof CutoverError && words.test(error.message),
    )
  failsWith(/Port 8080 of 10\.99\.0\.1.*not an address of this machine/)
  await app.kill()
  steering.removeRelease(v1)
  const other = await startApp(t, null, 'other')
  await other.run(`listen('127.0.0.2', 8081)`)
  const next = await startApp(t, node.release(v2, [{ port: 8081, address: '::' }]), 'v2')
  await next.run(`listen('127.0.0.1', 8081)`)
  failsWith(/Port 8081 of ::.*another program/)
  assert.equal(await ask(8081, '127.0.0.2'), 'other')
})
