/** Whether queues move and wake on a kernel is tried, not supposed. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { dumpTcp } from '../../src/linux/sock-diag.ts'
import { tryQueues } from '../../src/strategies/steer/queues.ts'
import { asRoot } from '../support/namespace.ts'

const skip = asRoot

test('what waits in a listener that ends is all answered by the heir that the program names', { skip }, async () => {
  const { waiting, moved } = await tryQueues()
  assert.equal(moved, waiting)
})

test('without the program nothing moves, and that is seen', { skip }, async () => {
  const { waiting, moved, woken } = await tryQueues(() => {})
  assert.deepEqual({ waiting, moved, woken }, { waiting: 8, moved: 0, woken: false })
})

test('nothing is left of it: no socket, no map, no program', { skip }, async () => {
  await tryQueues()
  const before = readdirSync('/proc/self/fd').length
  await tryQueues()
  await tryQueues(() => {})
  assert.equal(readdirSync('/proc/self/fd').length, before)
  assert.deepEqual(dumpTcp({ states: ['listen'] }), [])
})
