import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { app, ask, type Rig, repeat, rig, tally } from './rig.ts'

const skip = asRoot || needs('python3')
const port = 8080

test('connections go to the listeners of a release in turn, exactly, also beside an empty place', {
  skip,
}, async (t) => {
  const r = rig(t, [port])
  const workers = await workersOf(r, 3)
  r.steering.switchTo(app, 1, { hold: false })
  assert.deepEqual(tally(await repeat(60, () => ask(port))), { w1: 20, w2: 20, w3: 20 })
  await workers[1]?.kill()
  assert.deepEqual(
    tally(await repeat(60, () => ask(port))),
    { w1: 30, w3: 30 },
    'an empty place gives nobody two turns',
  )
})

test('the ACK of a SYN cookie goes where its SYN went, and takes no turn', { skip }, async (t) => {
  const sysctl = '/proc/sys/net/ipv4/tcp_syncookies'
  const before = readFileSync(sysctl)
  t.after(() => writeFileSync(sysctl, before))
  writeFileSync(sysctl, '2')
  const r = rig(t, [port])
  await workersOf(r, 2)
  r.steering.switchTo(app, 1, { hold: false })
  assert.deepEqual(tally(await repeat(100, () => ask(port))), { w1: 50, w2: 50 })
})

test('IPv4 and IPv6 take turns of their own', { skip }, async (t) => {
  const r = rig(t, [port])
  const workers = await workersOf(r, 2)
  // All of IPv4 before all of IPv6: a turn that both shared would go to the same one of each again and again.
  for (const [index, puppet] of workers.entries())
    assert.equal(await puppet.listens(`w${index + 1}`, port, { family: 'ipv6', address: '::', v6only: 1 }), 'ok')
  r.steering.switchTo(app, 1, { hold: false })
  const answers = await repeat(40, async (index) => {
    const address = index % 2 === 0 ? '127.0.0.1' : '::1'
    return `${await ask(port, address)} at ${address}`
  })
  assert.deepEqual(tally(answers), { 'w1 at 127.0.0.1': 10, 'w2 at 127.0.0.1': 10, 'w1 at ::1': 10, 'w2 at ::1': 10 })
})

/** So many workers of release 1, each with a listener of its own. */
const workersOf = (r: Rig, count: number) =>
  repeat(count, async (index) => {
    const puppet = await r.puppet(1, { worker: index + 1 })
    assert.equal(await puppet.listens(`w${index + 1}`, port), 'ok')
    return puppet
  })
