import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openKernel } from '../../src/strategies/steer/kernel.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { eventually } from '../support/workspace.ts'
import { app, ask, fateOf, type Puppet, type Rig, repeat, rig, tally } from './rig.ts'

const skip = asRoot || needs('python3')
const [front, back] = [8080, 9000]

test('a release that calls its own port reaches itself, dark or active, in the middle of switches', {
  skip,
}, async (t) => {
  const r = rig(t, [front, back])
  for (const release of [1, 2]) await withBack(await r.puppet(release), release)
  await switchUnderLoad(r)
  await noEntryLeft(r)
})

test('the same where every SYN is answered by a cookie', { skip }, async (t) => {
  always(t, '2')
  const r = rig(t, [front, back])
  for (const release of [1, 2]) await withBack(await r.puppet(release), release)
  await switchUnderLoad(r)
  await noEntryLeft(r)
})

test('a release whose own port does not listen is refused there, never served by another release', {
  skip,
}, async (t) => {
  const r = rig(t, [front, back])
  const [v1, v2] = await Promise.all([r.puppet(1), r.puppet(2)])
  await withBack(v1, 1)
  await v2.listens('v2', front, { calls: [['ipv4', '127.0.0.1', back]] })
  r.steering.switchTo(app, 1, { hold: false })
  assert.equal(await probe(r, 2), 'v2>ECONNREFUSED')
  r.steering.switchTo(app, 2, { hold: false })
  assert.equal(await ask(front), 'v2>ECONNREFUSED')
})

test('a call of another app meets its active release', { skip }, async (t) => {
  const r = rig(t, [front])
  r.steering.addApp(2, { ports: [back], holdMs: 0 })
  for (const release of [1, 2])
    await (await r.puppet(release)).listens(`a${release}`, front, { calls: [['ipv4', '127.0.0.1', back]] })
  for (const release of [3, 4]) await (await r.puppet(release, { app: 2 })).listens(`b${release}`, back)
  r.steering.switchTo(app, 1, { hold: false })
  r.steering.switchTo(2, 4, { hold: false })
  assert.equal(await ask(front), 'a1>b4')
  r.steering.switchTo(app, 2, { hold: false })
  r.steering.switchTo(2, 3, { hold: false })
  assert.equal(await ask(front), 'a2>b3')
})

test('a release reaches a stranger who listens beside it on the same port', { skip }, async (t) => {
  const r = rig(t, [front, back])
  const [v1, stranger] = await Promise.all([r.puppet(1), r.puppet(0)])
  await stranger.listens('stranger', back, { address: '127.0.0.5' })
  await v1.listens('own', back, { address: '127.0.0.1' })
  await v1.listens('v1', front, {
    calls: [
      ['ipv4', '127.0.0.5', back],
      ['ipv4', '127.0.0.1', back],
    ],
  })
  r.steering.switchTo(app, 1, { hold: false })
  assert.equal(await ask(front), 'v1>stranger>own')
})

test('probes and own calls are not counted as accepted from the public', { skip }, async (t) => {
  const r = rig(t, [front, back])
  await withBack(await r.puppet(1), 1)
  r.steering.switchTo(app, 1, { hold: false })
  await repeat(5, () => probe(r, 1))
  assert.equal(r.steering.accepted({ app, release: 1 }), 0)
  await repeat(7, () => ask(front))
  assert.equal(r.steering.accepted({ app, release: 1 }), 7)
})

/** A front that calls its back over both families. */
async function withBack(puppet: Puppet, release: number): Promise<void> {
  await puppet.listens(`v${release}`, back, { family: 'ipv6', address: '::', threads: 2 })
  const calls = [
    ['ipv4', '127.0.0.1', back],
    ['ipv6', '::1', back],
  ]
  await puppet.listens(`v${release}`, front, { calls, threads: 8 })
}

/** What the release answers, asked over its own socket. */
function probe({ steering }: Rig, release: number): Promise<string> {
  const listener = steering.listeners({ app, release }).find(({ port }) => port === front)
  assert.ok(listener)
  return fateOf(steering.probe({ app, release }, listener))
}

/** Clients ask the public port and the dark release is probed, while the word moves every 10 ms. Every answer must be of one release. */
async function switchUnderLoad(r: Rig): Promise<void> {
  let stop = false
  const collect = async (one: () => Promise<string>) => {
    const fates: string[] = []
    while (!stop) fates.push(await one())
    return fates
  }
  r.steering.switchTo(app, 1, { hold: false })
  const clients = Promise.all([1, 2, 3, 4].map(() => collect(() => ask(front))))
  const probes = collect(() => probe(r, 2))
  for (let round = 0; round < 200; round++) {
    r.steering.switchTo(app, 1 + (round % 2), { hold: false })
    await sleep(10)
  }
  stop = true
  const answers = tally((await clients).flat())
  assert.deepEqual(Object.keys(answers).toSorted(), ['v1>v1>v1', 'v2>v2>v2'], JSON.stringify(answers))
  assert.deepEqual(Object.keys(tally(await probes)), ['v2>v2>v2'])
}

/** The map of connections that must reach one release empties itself. */
async function noEntryLeft({ options }: Rig): Promise<void> {
  using kernel = openKernel(options.pins)
  await eventually(() => kernel.maps.who.keys().length === 0)
}

/** tcp_syncookies of this namespace, until the test ends. */
function always(t: TestContext, value: string): void {
  const sysctl = join('/proc/sys/net/ipv4/tcp_syncookies')
  const before = readFileSync(sysctl)
  t.after(() => writeFileSync(sysctl, before))
  writeFileSync(sysctl, value)
}
