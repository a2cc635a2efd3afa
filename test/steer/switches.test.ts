import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { app, ask, rig, tally } from './rig.ts'

const skip = asRoot || needs('python3')
const port = 8080
const switches = 200

test('200 switches under 16 clients lose nothing, and each moves every new connection', { skip }, async (t) => {
  const r = rig(t, [port])
  const releases = await Promise.all([r.puppet(1), r.puppet(2)])
  for (const [index, puppet] of releases.entries()) await puppet.listens(`v${index + 1}`, port, { threads: 8 })
  r.steering.switchTo(app, 1, { hold: true })
  r.steering.park(app)
  let stop = false
  const clients = Promise.all(
    Array.from({ length: 16 }, async () => {
      const fates: string[] = []
      while (!stop) fates.push(await ask(port))
      return fates
    }),
  )
  for (let round = 1; round <= switches; round++) {
    const release = 1 + (round % 2)
    r.steering.switchTo(app, release, { hold: true })
    if (round % 10 === 0) assert.equal(await ask(port), `v${release}`)
    else await sleep(10)
  }
  stop = true
  const fates = tally((await clients).flat())
  assert.deepEqual(Object.keys(fates).toSorted(), ['v1', 'v2'], JSON.stringify(fates))
  const { parked, dropped } = r.steering.counters()
  assert.deepEqual({ parked, dropped }, { parked: 0, dropped: 0 })
})

test('all ports of an app move in one step', { skip }, async (t) => {
  const ports = [8080, 8081, 8082]
  const r = rig(t, ports)
  for (const release of [1, 2]) {
    const puppet = await r.puppet(release)
    for (const one of ports) await puppet.listens(`v${release}`, one)
  }
  for (let round = 0; round < 50; round++) {
    const release = 1 + (round % 2)
    r.steering.switchTo(app, release, { hold: false })
    assert.deepEqual(tally(await Promise.all(ports.map((one) => ask(one)))), { [`v${release}`]: ports.length })
  }
})

test('the ninth release that lives at one time is refused, and the eight go on', { skip }, async (t) => {
  const r = rig(t, [port])
  for (let release = 1; release <= 8; release++) await (await r.puppet(release)).listens(`v${release}`, port)
  await assert.rejects(r.puppet(9), /8 releases/)
  for (let release = 1; release <= 8; release++) {
    r.steering.switchTo(app, release, { hold: false })
    assert.equal(await ask(port), `v${release}`)
  }
  r.steering.switchTo(app, 0, { hold: false })
  assert.equal(await ask(port), 'ECONNREFUSED', 'the eighth is looked at as well before a packet is let through')
  r.steering.removeRelease({ app, release: 3 })
  await (await r.puppet(9)).listens('v9', port)
  r.steering.switchTo(app, 9, { hold: false })
  assert.equal(await ask(port), 'v9')
})
