/** The lines that releases wrote, for `logs`. */
import { activeOf } from '../core/app.ts'
import { refusal } from '../core/errors.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { type LogWish, lengthOf, readLog } from '../instances/logs.ts'
import type { LogLine, LogOptions } from './engine.ts'
import type { Node } from './node.ts'

/**
 * The log of the active release, or of the one that is named. Whoever follows without naming one also gets what the releases write that
 * become active meanwhile.
 * @throws CutoverError `refused` if there is no such release
 */
export function logLines(node: Node, app: AppName, options: LogOptions): AsyncIterable<LogLine> {
  const { releases } = node.store.apps.state(app)
  const chosen =
    options.release === undefined
      ? (activeOf(node.store.apps.state(app)) ?? releases.at(-1))
      : releases.find(({ number }) => number === options.release)
  if (chosen === undefined) {
    throw refusal(
      options.release === undefined ? `${app} has no release yet.` : `${app} has no ${named(options.release)}.`,
    )
  }
  return options.follow && options.release === undefined
    ? followed(node, app, chosen.number, options)
    : lines(node, app, chosen.number, options)
}

async function* lines(node: Node, app: AppName, release: ReleaseNumber, wish: LogWish): AsyncGenerator<LogLine> {
  for await (const line of readLog(node.home.log(app, release), wish)) yield { release, line }
}

/** What a release writes at its end (it may be draining) is followed beside what its successor writes, until it is retired. */
async function* followed(node: Node, app: AppName, first: ReleaseNumber, options: LogOptions): AsyncGenerator<LogLine> {
  /** Whom it reads at last, or still has to read. */
  const sources = new Map<ReleaseNumber, Source>()
  const ready: Offered[] = []
  const failures: unknown[] = []
  let news = Promise.withResolvers<void>()
  const tell = () => news.resolve()

  // Each reader waits until its line was taken: nobody reads faster than the client.
  const follow = async (release: ReleaseNumber, wish: Wish, until: AbortSignal, before: Promise<void> | undefined) => {
    await before
    const { signal } = options
    for await (const line of lines(node, app, release, { ...wish, follow: true, until, signal })) {
      const { promise, resolve: taken } = Promise.withResolvers<void>()
      ready.push({ line, taken })
      tell()
      await promise
    }
  }
  /** A release that is back while the client still takes what it wrote before its end is read when that is taken. */
  const start = (release: ReleaseNumber, wish: Wish) => {
    const over = new AbortController()
    const ended = follow(release, wish, over.signal, sources.get(release)?.ended).then(
      () => {
        if (sources.get(release)?.over === over) sources.delete(release)
      },
      (error: unknown) => {
        failures.push(error)
        tell()
      },
    )
    sources.set(release, { over, ended })
  }
  /** How long the log of a release was at its end, or when the operation began with which it may become active. */
  const lengths = new Map<ReleaseNumber, number>()
  const stopListening = node.store.events.listen(({ app: about, release, event }) => {
    if (about !== app || release === null) return
    const length = () => lengthOf(node.home.log(app, release))
    if (event.endsWith('-began') || event === 'retired') lengths.set(release, length())
    if (event === 'retired') sources.get(release)?.over.abort()
    // What it wrote since then, which of a new release is all.
    if (becameActive.has(event) && sources.get(release)?.over.signal.aborted !== false) {
      const from = lengths.get(release) ?? (event === 'deploy' ? 0 : length())
      start(release, { lines: Number.POSITIVE_INFINITY, from })
    }
  })
  options.signal.addEventListener('abort', tell)
  try {
    start(first, options)
    while (!options.signal.aborted) {
      for (let next = ready.shift(); next !== undefined; next = ready.shift()) {
        try {
          yield next.line
        } finally {
          next.taken()
        }
      }
      if (failures.length > 0) throw failures[0]
      await news.promise
      news = Promise.withResolvers()
    }
  } finally {
    stopListening()
    options.signal.removeEventListener('abort', tell)
    for (const { over } of sources.values()) over.abort()
    for (const { taken } of ready) taken()
  }
}

/** The events with which a release becomes active. */
const becameActive: ReadonlySet<string> = new Set(['deploy', 'rollback', 'restart', 'start'])

type Wish = Pick<LogWish, 'lines' | 'since' | 'from'>

interface Source {
  readonly over: AbortController
  /** When the last line was taken. */
  readonly ended: Promise<void>
}

interface Offered {
  readonly line: LogLine
  readonly taken: () => void
}
