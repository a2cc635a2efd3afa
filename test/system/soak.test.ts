/** A short soak; `npm run soak` is the long one. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { grown } from '../soak/footprint.ts'
import { soak } from '../soak/soak.ts'
import { asRoot } from '../support/namespace.ts'

const seed = Number(process.env.SOAK_SEED ?? Date.now() % 1_000_000)

test(`400 cutovers with crashes in between lose nothing else, and nothing grows (seed ${seed})`, {
  skip: asRoot,
}, async (t) => {
  const { footprints, answered } = await soak(t, { cutovers: 400, seed, tell: (text) => t.diagnostic(text) })
  assert.ok(answered > 1000, 'there was too little load')
  assert.deepEqual(grown(...footprints), [])
})
