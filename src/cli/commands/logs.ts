import { Command } from 'commander'
import { schema } from '../../core/documents.ts'
import { parseDuration } from '../../core/duration.ts'
import { usageError } from '../../core/errors.ts'
import { named as nameOf, type ReleaseNumber } from '../../core/words.ts'
import type { LogLine } from '../../engine/engine.ts'
import { appNamedOrMeant, connect } from '../connect.ts'
import { appArgument, asCount, asRelease, jsonOption } from '../options.ts'
import { say, sayJson, styled, whenPrinted } from '../print.ts'
import { printable } from '../text.ts'

interface Options {
  readonly follow?: boolean
  readonly lines?: number
  readonly since?: string
  readonly release?: ReleaseNumber
  readonly json?: boolean
}

const most = 1_000_000

export const command = (): Command =>
  new Command('logs')
    .description(
      'What an app wrote to stdout and stderr, as far as it is kept (logs: {max}). Control characters are shown as what they are, except with --json.',
    )
    .argument('[APP]', appArgument)
    .option('-f, --follow', 'go on with each new line')
    .option('-n, --lines <N>', 'how many of the last lines (default: 100; with --since all)', asCount(0, most))
    .option('--since <T>', 'only what was written since then: 10m (ago), or a time like 2026-03-01T12:00')
    .option('--release <vN>', 'of this release (default: the active one)', asRelease)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  cutover logs shop -f              the last lines, then each new one, with its release
  cutover logs --since 10m          of the last ten minutes
  cutover logs shop --release v6    of a release that failed, for one`,
    )
    .action(logs)

async function logs(
  app: string | undefined,
  { follow = false, lines, since, release, json = false }: Options,
): Promise<void> {
  const from = since === undefined ? {} : { since: moment(since) }
  const client = connect()
  const log = client.logs({
    app: await appNamedOrMeant(client, app),
    lines: lines ?? (since === undefined ? 100 : most),
    follow,
    ...from,
    ...(release !== undefined && { release }),
  })
  if (json && !follow) return sayJson({ schema, lines: await Array.fromAsync(log) })
  await printAll(log, { json, named: follow && release === undefined })
}

/** Whoever follows an app sees the lines of several releases: each then says whose it is. */
async function printAll(
  log: AsyncIterable<LogLine>,
  { json, named }: { json: boolean; named: boolean },
): Promise<void> {
  for await (const line of log) {
    if (json) sayJson({ schema, ...line })
    else say(`${named ? `${styled('cyan', nameOf(line.release), process.stdout)}  ` : ''}${printable(line.line)}`)
    await whenPrinted()
  }
}

/** A time of day, or so long ago. */
function moment(text: string): Date {
  const ago = parseDuration(text)
  const date = ago === null ? new Date(text) : new Date(Date.now() - ago)
  if (Number.isNaN(date.getTime())) throw usageError(`--since ${text}: that is neither a duration like 10m nor a time.`)
  return date
}
