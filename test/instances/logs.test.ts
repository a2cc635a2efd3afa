import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { markLogTimes, offsetAt } from '../../src/instances/log-times.ts'
import { lastLines, readLog } from '../../src/instances/logs.ts'
import { eventually, temporaryDirectory } from '../support/workspace.ts'

const wish = { lines: Number.POSITIVE_INFINITY, follow: false, signal: new AbortController().signal }

test('the last lines of a log are read from its end', async (t) => {
  const file = join(temporaryDirectory(t), 'v1.log')
  writeFileSync(file, Array.from({ length: 100_000 }, (_, index) => `line ${index} äöü\n`).join(''))
  assert.deepEqual(await lastLines(file, 2), ['line 99998 äöü', 'line 99999 äöü'])
  assert.equal((await Array.fromAsync(readLog(file, { ...wish, lines: 50_000 }))).length, 50_000)
  assert.equal((await Array.fromAsync(readLog(file, { ...wish, lines: 200_000 }))).length, 100_000)
  assert.deepEqual(await lastLines(file, 0), [])
  appendFileSync(file, 'no end')
  assert.deepEqual(await lastLines(file, 2), ['line 99999 äöü', 'no end'])
})

test('a log that is not there yet, or empty, has no lines', async (t) => {
  const file = join(temporaryDirectory(t), 'v1.log')
  assert.deepEqual(await lastLines(file, 10), [])
  writeFileSync(file, '')
  assert.deepEqual(await lastLines(file, 10), [])
  writeFileSync(file, '\n\nx\n')
  assert.deepEqual(await lastLines(file, 10), ['', '', 'x'])
})

test('a line without end comes in pieces, and bytes that are no text do no harm', async (t) => {
  const file = join(temporaryDirectory(t), 'v1.log')
  writeFileSync(file, Buffer.concat([Buffer.alloc(200_000, 'a'), Buffer.from([0x0a, 0xff, 0xfe, 0x0d, 0x0a])]))
  const lines = await Array.fromAsync(readLog(file, wish))
  assert.deepEqual(
    lines.map((line) => line.length),
    [65_536, 65_536, 65_536, 3392, 2],
  )
})

test('following gives each line as soon as it is whole, until it is told to stop', async (t) => {
  const file = join(temporaryDirectory(t), 'v1.log')
  writeFileSync(file, 'one\ntwo\n')
  const stop = new AbortController()
  const lines = readLog(file, { lines: 1, follow: true, signal: stop.signal })
  const next = async () => (await lines.next()).value
  assert.equal(await next(), 'two')
  const three = next()
  appendFileSync(file, 'thr')
  appendFileSync(file, 'ee\nfour\n')
  assert.equal(await three, 'three')
  assert.equal(await next(), 'four')
  truncateSync(file, 0)
  const anew = next()
  await sleep(50)
  appendFileSync(file, 'anew\n')
  assert.equal(await anew, 'anew')
  const last = lines.next()
  stop.abort()
  assert.equal((await last).done, true)
})

test('who follows until something has ended gets all that was written by then', async (t) => {
  const file = join(temporaryDirectory(t), 'v1.log')
  writeFileSync(file, 'one\ntwo\nthree\n')
  const over = new AbortController()
  const lines = readLog(file, { ...wish, follow: true, until: over.signal })
  const seen: string[] = []
  for await (const line of lines) {
    seen.push(line)
    over.abort()
  }
  assert.deepEqual(seen, ['one', 'two', 'three'])
})

test('lines since a time are found, to the second', async (t) => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'v1.log')
  const marks = () => readFileSync(`${file}.times`, 'utf8').split('\n').length - 1
  const before = new Date()
  using _marker = markLogTimes(directory)
  writeFileSync(file, 'early\n')
  await eventually(() => offsetAt(file, new Date()) === 6)
  await sleep(1100)
  const between = new Date()
  await sleep(1100)
  appendFileSync(file, 'late\n')
  await eventually(() => offsetAt(file, new Date()) === 11)
  assert.equal(marks(), 2)
  assert.deepEqual(await Array.fromAsync(readLog(file, { ...wish, since: before })), ['early', 'late'])
  assert.deepEqual(await Array.fromAsync(readLog(file, { ...wish, since: between })), ['late'])
  assert.deepEqual(await Array.fromAsync(readLog(file, { ...wish, since: between, lines: 0 })), [])
  assert.deepEqual(await Array.fromAsync(readLog(file, { ...wish, since: new Date(Date.now() + 60_000) })), [])
})

test('a log that grows without pause is marked about once a second, and to its end when it rests', async (t) => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'v1.log')
  using _marker = markLogTimes(directory)
  for (let count = 0; count < 150; count++) {
    appendFileSync(file, 'x\n')
    await sleep(10)
  }
  await eventually(() => offsetAt(file, new Date()) === 300)
  const marks = readFileSync(`${file}.times`, 'utf8')
    .trimEnd()
    .split('\n')
    .map((mark) => Date.parse(mark.slice(0, 24)))
  assert.ok(marks.length <= 10)
  for (const [index, time] of marks.slice(1).entries()) assert.ok(time - (marks[index] ?? 0) >= 900)
})
