import { Command } from 'commander'
import { type HistoryEntry, schema } from '../../core/documents.ts'
import { named } from '../../core/words.ts'
import { connect } from '../connect.ts'
import { asCount, jsonOption } from '../options.ts'
import { say, sayJson } from '../print.ts'
import { columns, localTime, printable } from '../text.ts'

interface Options {
  readonly lines?: number
  readonly json?: boolean
}

export const command = (): Command =>
  new Command('history')
    .description(
      'What was done to an app, or to all, by whom, when, and how it ended. The JSON has the whole receipts.',
    )
    .argument('[APP]', 'the app (default: all)')
    .option('-n, --lines <N>', 'only the latest N', asCount(1, 1_000_000))
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  cutover history\n  cutover history shop -n 10\n  cutover history shop --json')
    .action(history)

async function history(app: string | undefined, { lines = Infinity, json }: Options): Promise<void> {
  const all = await connect().history(app)
  const entries = all.slice(Math.max(0, all.length - lines))
  if (json) return sayJson({ schema, entries })
  if (entries.length === 0) return say('Nothing was done yet.')
  for (const line of columns(entries.map(cells))) say(line)
}

const cells = ({ at, app, kind, release, outcome, by, text }: HistoryEntry): string[] =>
  [localTime(at), app, kind, release === null ? '' : named(release), outcome, by.name, text].map(printable)
