import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatDuration, longestDuration, parseDuration, spokenDuration } from '../../src/core/duration.ts'

test('durations are read as a config writes them', () => {
  const known = { '500ms': 500, '30s': 30_000, '1.5s': 1500, '10m': 600_000, '2h': 7_200_000, '0s': 0 }
  for (const [text, ms] of Object.entries(known)) assert.equal(parseDuration(text), ms, text)
})

test('what is no duration is none', () => {
  for (const text of ['', '30', 's', '-1s', '1 s', '10min', '1d', '1e3s', '5000h', 'toString', '1toString']) {
    assert.equal(parseDuration(text), null, text)
  }
})

test('a printed duration reads back as the same', () => {
  fc.assert(fc.property(fc.nat(longestDuration), (ms) => parseDuration(formatDuration(ms)) === ms))
})

test('durations are said as people say them', () => {
  const said = [-5, 999, 10_500, 61_000, 3_600_000, 47 * 3_600_000, 72 * 3_600_000].map(spokenDuration)
  assert.deepEqual(said, ['0 s', '0 s', '10 s', '1 min', '1 h', '47 h', '3 d'])
})
