import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { roomInMemory } from '../../src/core/memory-room.ts'

const room = (needed: number, free: number) => roomInMemory({ needed, free })

test('a release that plainly does not fit is told from one that may not', () => {
  assert.deepEqual(
    [0, 49, 50, 109, 110, 1000].map((free) => room(100, free)),
    ['short', 'short', 'tight', 'tight', 'enough', 'enough'],
  )
  assert.equal(room(0, 0), 'enough')
})

test('more memory is never worse, and a larger release never better', () => {
  const order = ['short', 'tight', 'enough']
  const bytes = fc.nat()
  fc.assert(
    fc.property(bytes, bytes, bytes, (needed, free, more) => {
      const here = order.indexOf(room(needed, free))
      assert.ok(order.indexOf(room(needed, free + more)) >= here)
      assert.ok(order.indexOf(room(needed + more, free)) <= here)
    }),
  )
})
