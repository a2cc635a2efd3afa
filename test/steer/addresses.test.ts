/** A release is reachable exactly where it asked to be: eleven kinds of bind, six ways in. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { askOver, startApp, startSteering } from './fixtures.ts'
import { outer4, outside, reachOf } from './outside.ts'

const skip = asRoot || needs('python3', 'iproute2')

/** How a release listens: arguments of `listen`; and who answers then, as `reachOf` writes it, `f` being another program. */
const binds = [
  { port: 9090, first: `'127.0.0.1', 9090`, reach: '100 000' },
  { port: 9091, first: `'0.0.0.0', 9091`, reach: '111 000' },
  { port: 9092, first: `'::', 9092, v6only=0`, reach: '111 111' },
  { port: 9093, first: `'::', 9093, v6only=1`, reach: '000 111' },
  { port: 9094, first: `'::ffff:127.0.0.1', 9094, v6only=0`, reach: '100 000' },
  { port: 9095, first: `'::1', 9095`, reach: '000 100' },
  { port: 9096, first: `'${outer4}', 9096`, reach: '011 000' },
  { port: 9097, first: `'0.0.0.0', 9097, device='va'`, reach: '011 000' },
  { port: 9098, first: `'0.0.0.0', 9098`, second: `'127.0.0.1', 9098`, reach: '111 000', afterwards: '100 000' },
  { port: 9099, first: `'127.0.0.1', 9099`, reach: '1ff 000' },
  { port: 9100, first: `'::', 9100, v6only=1`, reach: 'fff 111' },
] as const

test('eleven kinds of bind are reachable where they asked to be and nowhere else, with one release and with two', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  const client = await outside(t)
  const foreigner = await startApp(t, null, 'f')
  await foreigner.run(`listen('${outer4}', 9099)`)
  await foreigner.run(`listen('0.0.0.0', 9100)`)

  // Where the kernel alone would let each be reached: that is what the table says.
  const plain = await startApp(t, null, 'plain')
  for (const { first } of binds) await plain.run(`listen(${first}, again=True)`)
  for (const { port, reach } of binds)
    assert.equal(await reachOf(client, port, 'plain'), reach, `${port}, without Cutover`)
  await plain.kill()

  steering.addApp(1, { ports: binds.map(({ port }) => port), holdMs: 0 })
  const v1 = await startApp(t, node.release({ app: 1, release: 1 }), 'v1')
  for (const { first } of binds) await v1.run(`listen(${first})`)
  for (const { port } of binds)
    assert.match(await reachOf(client, port, 'v1'), /^(0(00|ff)|fff) 000$/, `${port}, all dark`)
  steering.switchTo(1, 1, { hold: false })
  for (const { port, reach } of binds) assert.equal(await reachOf(client, port, 'v1'), reach, `${port}, v1 alone`)

  const v2 = await startApp(t, node.release({ app: 1, release: 2 }), 'v2')
  for (const bind of binds) await v2.run(`listen(${'second' in bind ? bind.second : bind.first})`)
  steering.park(1)
  for (const { port, reach } of binds) assert.equal(await reachOf(client, port, 'v1'), reach, `${port}, v2 dark`)
  steering.switchTo(1, 2, { hold: false })
  for (const bind of binds)
    assert.equal(
      await reachOf(client, bind.port, 'v2'),
      'afterwards' in bind ? bind.afterwards : bind.reach,
      `${bind.port}, v1 dark`,
    )
  steering.switchTo(1, 0, { hold: false })
  for (const { port } of binds)
    assert.match(await reachOf(client, port, 'v2'), /^(0(00|ff)|fff) 000$/, `${port}, all dark again`)
})

test('a dark release is probed at each kind of bind', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  await outside(t)
  steering.addApp(1, { ports: binds.map(({ port }) => port), holdMs: 0 })
  const ref = { app: 1, release: 1 }
  const v1 = await startApp(t, node.release(ref), 'v1')
  for (const { first } of binds) await v1.run(`listen(${first})`)
  await v1.run(`listen('::ffff:0.0.0.0', 9101, v6only=0)`)
  const answers = steering
    .listeners(ref)
    .map(async (listener) => [listener.port, await askOver(steering.probe(ref, listener))] as const)
  assert.deepEqual(
    (await Promise.all(answers)).toSorted(([a], [b]) => a - b),
    [...binds.map(({ port }) => [port, 'v1']), [9101, 'v1']],
  )
  assert.equal(steering.accepted(ref), 0, 'probes are not the public')
})

test('park stands where the releases stand, in their group: the family, the address, IPv6 only or not, the interface', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  await outside(t)
  steering.addApp(1, { ports: binds.map(({ port }) => port), holdMs: 0 })
  const v1 = await startApp(t, node.release({ app: 1, release: 1 }), 'v1')
  for (const { first } of binds) await v1.run(`listen(${first})`)
  steering.park(1)
  const where = (release: number) =>
    steering
      .listeners({ app: 1, release })
      .map(({ port, family, address, v6only, device, uid }) => ({ port, family, address, v6only, device, uid }))
      .toSorted((a, b) => a.port - b.port)
  assert.equal(where(0).length, binds.length)
  assert.deepEqual(where(0), where(1))
  steering.park(1)
  assert.equal(where(0).length, binds.length, 'once is enough')
})
