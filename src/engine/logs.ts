/** The lines that releases wrote, for `logs`. */
import { activeOf } from '../core/app.ts'
import { refusal } from '../core/errors.ts'
import { type AppName, named } from '../core/words.ts'
import { readLog } from '../instances/logs.ts'
import type { LogLine, LogOptions } from './engine.ts'
import type { Node } from './node.ts'

/** @throws CutoverError `refused` if there is no such release */
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
  return lines(node.home.log(app, chosen.number), chosen.number, options)
}

async function* lines(file: string, release: number, options: LogOptions): AsyncIterable<LogLine> {
  for await (const line of readLog(file, options)) yield { release, line }
}
