/**
 * When which part of a log was written. Apps write their logs themselves and need not put a time on a line, so the daemon keeps marks beside
 * each log, `v4.log.times`: "at this time the log was this long", a line of fixed width each, at most one a second.
 */
import { appendFileSync, closeSync, openSync, readdirSync, readSync, statSync, watch } from 'node:fs'
import { join } from 'node:path'

const suffix = '.times'

/** The file of the marks of a log. */
export const timesOf = (log: string): string => log + suffix
const restMs = 1000

/** `2026-01-31T12:00:00.000Z 000000000012345\n` */
const markBytes = 24 + 1 + 15 + 1

/**
 * Keeps the marks of every `*.log` in the directory until it is disposed. inotify says when a log grows; after a mark the watch rests for a
 * second, so that an app that prints without pause costs one look a second and not one a line.
 */
export function markLogTimes(directory: string): Disposable {
  const sizes = new Map<string, number>()
  let watcher: Disposable | null = null
  let rest: NodeJS.Timeout | null = null
  let over = false

  const markGrown = (): boolean => {
    let grown = false
    for (const file of readdirSync(directory).filter((name) => name.endsWith('.log'))) {
      const path = join(directory, file)
      const size = sizeOf(path)
      if (size === (sizes.get(file) ?? lastMark(path)?.offset ?? 0)) continue
      sizes.set(file, size)
      appendFileSync(path + suffix, markOf(new Date(), size), { mode: 0o640 })
      grown = true
    }
    return grown
  }
  const look = () => {
    rest = null
    // First watch, then look: what is written in between is told.
    watcher ??= watching(directory, changed)
    if (attempt(markGrown)) pause()
  }
  const changed = () => {
    attempt(markGrown)
    pause()
  }
  const pause = () => {
    watcher?.[Symbol.dispose]()
    watcher = null
    if (!over) rest ??= setTimeout(look, restMs).unref()
  }
  look()
  return {
    [Symbol.dispose]: () => {
      over = true
      watcher?.[Symbol.dispose]()
      if (rest !== null) clearTimeout(rest)
    },
  }
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
  const path = log + suffix
  if (sizeOf(path) === 0) return otherwise
  const file = openSync(path, 'r')
  try {
    const line = Buffer.alloc(markBytes)
    return act(Math.floor(sizeOf(path) / markBytes), (index) => {
      readSync(file, line, 0, markBytes, index * markBytes)
      const [time = '', offset = '0'] = line.toString('latin1').trimEnd().split(' ')
      return { time, offset: Number(offset) }
    })
  } finally {
    closeSync(file)
  }
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

function watching(directory: string, changed: () => void): Disposable | null {
  return attempt(() => {
    const watcher = watch(directory, { persistent: false }, changed).on('error', changed)
    return { [Symbol.dispose]: () => watcher.close() }
  })
}

/** Marks are a comfort: a full disk, or a log directory that is being removed, must not disturb the daemon. */
function attempt<T>(act: () => T): T | null {
  try {
    return act()
  } catch {
    return null
  }
}
