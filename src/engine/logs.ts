/** The lines that releases wrote, for `logs`. */
import { activeOf } from '../core/app.ts'
import { refusal } from '../core/errors.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { readLog } from '../instances/logs.ts'
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

async function* lines(node: Node, app: AppName, release: ReleaseNumber, options: LogOptions): AsyncGenerator<LogLine> {
  for await (const line of readLog(node.home.log(app, release), options)) yield { release, line }
}

/** What a release writes at its end (it may be draining) is followed beside what its successor writes, until it is retired. */
async function* followed(node: Node, app: AppName, first: ReleaseNumber, options: LogOptions): AsyncGenerator<LogLine> {
  const sources = new Map<ReleaseNumber, AbortController>()
  const ready: Offered[] = []
  const failures: unknown[] = []
  let news = Promise.withResolvers<void>()
  const tell = () => news.resolve()

  // Each reader waits until its line was taken: nobody reads faster than the client.
  const follow = async (release: ReleaseNumber, from: Pick<LogOptions, 'lines' | 'since'>) => {
    const over = new AbortController()
    sources.set(release, over)
    const signal = AbortSignal.any([options.signal, over.signal])
    for await (const line of lines(node, app, release, { ...from, follow: true, signal })) {
      const { promise, resolve: taken } = Promise.withResolvers<void>()
      ready.push({ line, taken })
      tell()
      await promise
    }
    sources.delete(release)
  }
  const start = (release: ReleaseNumber, from: Pick<LogOptions, 'lines' | 'since'>) =>
    void follow(release, from).catch((error: unknown) => {
      failures.push(error)
      tell()
    })
  const stopListening = node.store.events.listen(({ app: about, release, event }) => {
    if (about !== app || release === null) return
    if (event === 'retired') sources.get(release)?.abort()
    // All that a new release wrote, and of one that ran before only what it writes from now on.
    if (becameActive.has(event) && !sources.has(release))
      start(release, { lines: event === 'deploy' ? Number.POSITIVE_INFINITY : 0 })
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
    for (const over of sources.values()) over.abort()
    for (const { taken } of ready) taken()
  }
}

/** The events with which a release becomes active. */
const becameActive: ReadonlySet<string> = new Set(['deploy', 'rollback', 'start'])

interface Offered {
  readonly line: LogLine
  readonly taken: () => void
}
