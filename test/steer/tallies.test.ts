import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { app, ask, fateOf, repeat, rig } from './rig.ts'

const skip = asRoot || needs('python3')
const [front, back] = [8080, 9000]

test('what a release accepted from the public is counted, its own calls and probes are not', { skip }, async (t) => {
  const r = rig(t, [front, back])
  const ref = { app, release: 1 }
  const puppet = await r.puppet(1)
  await puppet.listens('back', back)
  await puppet.listens('v1', front, { calls: [['ipv4', '127.0.0.1', back]] })
  const listener = r.steering.listeners(ref).find(({ port }) => port === front)
  assert.ok(listener)
  await repeat(5, () => fateOf(r.steering.probe(ref, listener)))
  assert.equal(r.steering.accepted(ref), 0)
  r.steering.switchTo(app, 1, { hold: false })
  assert.deepEqual(await repeat(7, () => ask(front)), Array(7).fill('v1>back'))
  assert.equal(r.steering.accepted(ref), 7)
})
