/**
 * When which part of a log was written. Apps write their logs themselves and need not put a time on a line, so the daemon keeps marks beside
 * each log, `v4.log.times`: "at this time the log was this long", a line of fixed width each, at most one a second.
 */
import { appendFileSync, closeSync, openSync, readdirSync, readSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { whenItGrows } from './log-watch.ts'

const suffix = '.times'

/** The file of the marks of a log. */
export const timesOf = (log: string): string => log + suffix
const restMs = 1000

/** `2026-01-31T12:00:00.000Z 000000000012345\n` */
const markBytes = 24 + 1 + 15 + 1

/** Keeps the marks of every `*.log` in the directory until it is disposed. */
export function markLogTimes(directory: string): Disposable {
  const sizes = new Map<string, number>()
  return whenItGrows(directory, restMs, () => {
    let grown = false
    for (const file of readdirSync(directory).filter((name) => name.endsWith('.log'))) {
      const path = join(directory, file)
      const size = sizeOf(path)
      if (size === (sizes.get(file) ?? lastMark(path)?.offset ?? 0)) continue
      addMark(timesOf(path), size)
      sizes.set(file, size)
      grown = true
    }
    return grown
  })
}

/** A mark of which the full disk took only a part is written over: they all have one width. */
function addMark(path: string, size: number): void {
  const part = sizeOf(path) % markBytes
  if (part > 0) truncateSync(path, sizeOf(path) - part)
  appendFileSync(path, markOf(new Date(), size), { mode: 0o640 })
}

/** Where in the log the lines that were written at that time or later begin, to the second, rather too early than too late. */
export function offsetAt(log: string, since: Date): number {
  const wanted = since.toISOString()
  return withMarks(log, 0, (count, markAt) => {
    let low = 0
    let high = count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (markAt(middle).time <= wanted) low = middle + 1
      else high = middle
    }
    return low === 0 ? 0 : markAt(low - 1).offset
  })
}

interface Mark {
  readonly time: string
  readonly offset: number
}

const markOf = (time: Date, offset: number): string => `${time.toISOString()} ${String(offset).padStart(15, '0')}\n`

const lastMark = (log: string): Mark | null =>
  withMarks<Mark | null>(log, null, (count, markAt) => (count === 0 ? null : markAt(count - 1)))

function withMarks<T>(log: string, otherwise: T, act: (count: number, markAt: (index: number) => Mark) => T): T {
  const path = timesOf(log)
  if (sizeOf(path) === 0) return otherwise
  const file = openSync(path, 'r')
  try {
    const line = Buffer.alloc(markBytes)
    return act(Math.floor(sizeOf(path) / markBytes), (index) => {
      readSync(file, line, 0, markBytes, index * markBytes)
      const [time = '', offset] = line.toString('latin1').trimEnd().split(' ')
      // The oldest marks may be a hole by now: their zeros come before any time.
      return { time, offset: Number(offset ?? 0) }
    })
  } finally {
    closeSync(file)
  }
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0
