import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { app, ask, rig } from './rig.ts'

const skip = asRoot || needs('python3')
const port = 8080

test('a stranger who listens for IPv4 beside an app for IPv6 only is never touched', { skip }, async (t) => {
  const r = rig(t, [port])
  const [stranger, v1, v2] = await Promise.all([r.puppet(0), r.puppet(1), r.puppet(2)])
  assert.equal(await stranger.listens('stranger', port), 'ok')
  for (const puppet of [v1, v2])
    assert.equal(await puppet.listens('it', port, { family: 'ipv6', address: '::', v6only: 1 }), 'ok')
  for (const release of [0, 1, 2, 0]) {
    r.steering.switchTo(app, release, { hold: false })
    r.steering.park(app)
    assert.equal(await ask(port), 'stranger')
    assert.equal(await ask(port, '::1'), release === 0 ? 'ECONNREFUSED' : 'it')
  }
})

test('a port that only dark releases listen on is refused, over both families', { skip }, async (t) => {
  const r = rig(t, [port])
  const puppet = await r.puppet(1)
  await puppet.listens('v1', port, { family: 'ipv6', address: '::' })
  for (const address of ['127.0.0.1', '::1']) assert.equal(await ask(port, address), 'ECONNREFUSED')
  r.steering.park(app)
  for (const address of ['127.0.0.1', '::1']) assert.equal(await ask(port, address), 'ECONNREFUSED')
  r.steering.switchTo(app, 1, { hold: false })
  for (const address of ['127.0.0.1', '::1']) assert.equal(await ask(port, address), 'v1')
})
