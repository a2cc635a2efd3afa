import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type OomRole, oomScoreOf } from '../../src/core/oom.ts'

const order: readonly OomRole[] = ['daemon', 'active', 'other']
const scores = (inherited: number) => order.map((role) => oomScoreOf(role, inherited))

test('when memory is used up what does not serve ends first, then active releases, and the daemon last', () => {
  assert.deepEqual(scores(0), [-900, 0, 1000])
  for (const inherited of [-1000, -500, 0, 50, 500, 1000]) {
    const all = scores(inherited)
    assert.deepEqual(
      all,
      all.toSorted((a, b) => a - b),
    )
    assert.ok(all.every((score) => score >= -1000 && score <= 1000))
  }
})

test('no app is harder to end than it would be without Cutover, nor than programs usually are', () => {
  for (const inherited of [-1000, -900, 0, 300, 1000]) {
    const [, ...apps] = scores(inherited)
    assert.ok(apps.every((score) => score >= inherited && score >= 0))
  }
})
