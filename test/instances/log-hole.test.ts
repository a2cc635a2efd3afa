/** Logs that are kept within bounds while whoever writes them goes on. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, closeSync, mkdtempSync, openSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { boundLogs, canLetGo } from '../../src/instances/log-hole.ts'
import { markLogTimes, offsetAt, timesOf } from '../../src/instances/log-times.ts'
import { lastLines, readLog } from '../../src/instances/logs.ts'
import { asRoot } from '../support/namespace.ts'
import { eventually, temporaryDirectory } from '../support/workspace.ts'

const wish = { lines: Number.POSITIVE_INFINITY, follow: false, signal: new AbortController().signal }
const max = 1_000_000
const bytesOf = (file: string): number => (statSync(file, { throwIfNoEntry: false })?.blocks ?? 0) * 512

/** A directory whose logs are kept within 1 MB. `unbounded` gets the names of those that cannot be. */
function bounded(t: TestContext, directory = temporaryDirectory(t)) {
  const unbounded: string[] = []
  const bounds = boundLogs(directory, { maxOf: () => max, unbounded: (log) => unbounded.push(log) })
  t.after(() => bounds[Symbol.dispose]())
  return { directory, file: join(directory, 'v1.log'), unbounded }
}

/** `line 1` to `line N`, written by a process of its own through one descriptor. */
async function writeLines(file: string, from: number, to: number): Promise<void> {
  const log = openSync(file, 'a')
  try {
    await once(
      spawn('seq', ['-f', 'line %.0f', String(from), String(to)], { stdio: ['ignore', log, 'inherit'] }),
      'exit',
    )
  } finally {
    closeSync(log)
  }
}

/** What was let go is told first; then follow whole lines, up to the last one, and none is missing. */
function assertWholeFromAHole(lines: readonly string[], last: number): void {
  const [told, ...kept] = lines
  assert.match(told ?? '', /^cutover: \d+\.\d MB of older lines were let go \(logs: \{max\}\)$/)
  assertInOrder(kept, last)
}

function assertInOrder(lines: readonly string[], last: number): void {
  for (const [index, line] of lines.entries())
    assert.equal(line.slice(0, 100), `line ${last - lines.length + 1 + index}`)
}

test('a log takes bounded room, and what is kept is whole up to the last line', async (t) => {
  const { file } = bounded(t)
  let most = 0
  const watching = setInterval(() => {
    most = Math.max(most, bytesOf(file))
  }, 5)
  t.after(() => clearInterval(watching))
  // 4 MB in steps, so that the bound is not a question of how fast the machine writes.
  const step = 20_000
  for (let from = 1; from < 15 * step; from += step) {
    await writeLines(file, from, from + step - 1)
    await eventually(() => bytesOf(file) <= max)
  }
  assert.ok(statSync(file).size > 3_000_000, 'the length of the file goes on growing')
  assert.ok(most < 1_500_000, `it took ${most} bytes`)
  const lines = await Array.fromAsync(readLog(file, wish))
  assertWholeFromAHole(lines, 15 * step)
  assert.ok(lines.length * 11 > max / 2, 'not more than need be was let go')
  assert.deepEqual(await lastLines(file, 2), [`line ${15 * step - 1}`, `line ${15 * step}`])
  assertInOrder(await Array.fromAsync(readLog(file, { ...wish, lines: 1000 })), 15 * step)
})

test('whoever starts to look after a log lets go of what it grew by meanwhile', async (t) => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'v1.log')
  await writeLines(file, 1, 1_000_000)
  assert.ok(bytesOf(file) > 10 * max)
  bounded(t, directory)
  await eventually(() => bytesOf(file) <= max)
  assertWholeFromAHole(await Array.fromAsync(readLog(file, wish)), 1_000_000)
})

test('a reader that is too slow is told what it missed, and goes on with whole lines', async (t) => {
  const { file } = bounded(t)
  await writeLines(file, 1, 1000)
  const stop = new AbortController()
  const lines = readLog(file, { ...wish, follow: true, signal: stop.signal })
  assert.equal((await lines.next()).value, 'line 1')
  await writeLines(file, 1001, 500_000)
  await eventually(() => bytesOf(file) <= max)
  const seen: string[] = ['line 1']
  for await (const line of lines) {
    seen.push(line)
    if (line === 'line 500000') break
  }
  stop.abort()
  const gap = seen.findIndex((line) => line.startsWith('cutover: '))
  assertInOrder(seen.slice(0, gap), gap)
  assertWholeFromAHole(seen.slice(gap), 500_000)
})

test('bytes without a newline, and zeros among them, are bounded and read as well', async (t) => {
  const { file } = bounded(t)
  const noise = Buffer.alloc(100_000, Buffer.from([0, 1, 0x1b, 0xff, 0, 0]))
  for (let count = 0; count < 50; count++) appendFileSync(file, noise)
  await eventually(() => bytesOf(file) <= max)
  const [told, ...kept] = await Array.fromAsync(readLog(file, wish))
  assert.match(told ?? '', /older lines were let go/)
  assert.ok(kept.length > 5 && kept.every((piece) => piece.length <= 65_536))
  appendFileSync(file, '\nlast\n')
  assert.deepEqual((await lastLines(file, 2)).at(-1), 'last')
})

test('lines since a time are found behind the hole, and the times are bounded too', async (t) => {
  const { file, directory } = bounded(t)
  using _marks = markLogTimes(directory)
  const mark = (time: string, offset: number) => `${time} ${String(offset).padStart(15, '0')}\n`
  const early = Array.from({ length: 40_000 }, (_, second) => mark(new Date(second * 1000).toISOString(), 0))
  writeFileSync(timesOf(file), early.join(''))
  await writeLines(file, 1, 300_000)
  await eventually(() => bytesOf(file) <= max && bytesOf(timesOf(file)) <= max / 8)
  await eventually(() => offsetAt(file, new Date()) === statSync(file).size)
  const since = new Date()
  await new Promise((resolve) => setTimeout(resolve, 1100))
  await writeLines(file, 300_001, 300_002)
  assert.deepEqual(await Array.fromAsync(readLog(file, { ...wish, since })), ['line 300001', 'line 300002'])
  assertWholeFromAHole(await Array.fromAsync(readLog(file, { ...wish, since: new Date(0) })), 300_002)
})

test('where a file system cannot let go of anything, that is told once and no line is lost', {
  skip: asRoot,
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-test-'))
  execFileSync('mount', ['-t', 'ramfs', 'none', directory])
  t.after(() => {
    execFileSync('umount', ['--lazy', directory])
    rmSync(directory, { recursive: true })
  })
  assert.equal(canLetGo(directory), false)
  assert.equal(canLetGo(temporaryDirectory(t)), true)
  const { file, unbounded } = bounded(t, directory)
  for (let from = 1; from < 300_000; from += 100_000) await writeLines(file, from, from + 99_999)
  await eventually(() => unbounded.length > 0)
  const lines = await Array.fromAsync(readLog(file, wish))
  assert.deepEqual([lines.length, lines[0], unbounded], [300_000, 'line 1', ['v1.log']])
})

test('a log that cannot be opened keeps none of the others from being bounded, again and again', async (t) => {
  const directory = temporaryDirectory(t)
  // They come before and after it. A link is not opened, wherever it leads.
  const large = join(temporaryDirectory(t), 'large')
  writeFileSync(large, Buffer.alloc(2 * max, 'x'))
  for (const name of ['v0.log', 'v2.log']) symlinkSync(large, join(directory, name))
  const { file, unbounded } = bounded(t, directory)
  for (let round = 0; round < 3; round++) {
    await writeLines(file, round * 200_000 + 1, (round + 1) * 200_000)
    await eventually(() => bytesOf(file) <= max)
  }
  assert.ok(statSync(file).size > 4 * max)
  assert.ok(bytesOf(large) >= 2 * max, 'what a link leads to is not touched')
  assert.deepEqual(unbounded, [])
})
