import assert from 'node:assert/strict'
import { test } from 'node:test'
import { columns, count, counted, elapsed, printable, releaseNamed, wrapped } from '../../src/cli/text.ts'

test('nothing that a terminal obeys is printed', () => {
  assert.equal(printable('a\u001b[31mred\u001b[0m b'), 'ared b')
  assert.equal(
    printable('\u001b]0;title\u0007\u001b[2J\r\u009b2J\u007f'),
    '\\x1b]0;title\\x07\\x1b[2J\\x0d\\x9b2J\\x7f',
  )
  assert.equal(printable('abc\u202edcba'), 'abc\\u202edcba')
  assert.equal(printable('\tünïcode → 世界'), '    ünïcode → 世界')
})

test('durations have the digits that matter', () => {
  assert.equal(elapsed(0.005, 5), '5 µs')
  assert.equal(elapsed(12.3), '12 ms')
  assert.equal(elapsed(104), '0.1 s')
  assert.equal(elapsed(30_012), '30.0 s')
  assert.equal(elapsed(2, 2000), '2 ms')
})

test('a release is named with or without its v, and nothing else is one', () => {
  assert.deepEqual(['v4', '4', 'v65535'].map(releaseNamed), [4, 4, 65_535])
  assert.deepEqual(['v0', '65536', 'v', '', '-1', 'v4x', '1e3'].map(releaseNamed), Array(7).fill(null))
})

test('one of a thing is not many, and columns are aligned', () => {
  assert.deepEqual(
    [1, 0, 1204].map((number) => counted(number, 'connection')),
    ['1 connection', '0 connections', '1,204 connections'],
  )
  assert.deepEqual(
    columns(
      [
        ['a', '1', 'x'],
        ['bcd', '1,204', ''],
      ],
      [1],
    ),
    ['a        1  x', 'bcd  1,204'],
  )
})

test('thousands are told apart', () => {
  assert.deepEqual([0, 999, 1000, 1_234_567.6, 12_000_000].map(count), ['0', '999', '1,000', '1,234,568', '12,000,000'])
})

test('a text is broken between words, and within one only where that alone is too long', () => {
  assert.deepEqual(wrapped('pid 4711 listens on 0.0.0.0:8080', 12), ['pid 4711', 'listens on', '0.0.0.0:8080'])
  assert.deepEqual(wrapped('a 0123456789abc b', 5), ['a', '01234', '56789', 'abc b'])
  assert.deepEqual([wrapped('', 5), wrapped('as it is', Number.POSITIVE_INFINITY)], [[''], ['as it is']])
})
