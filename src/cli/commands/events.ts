import { Command } from 'commander'
import { connect } from '../connect.ts'
import { asCount, jsonOption } from '../options.ts'
import { say, sayJson, whenPrinted } from '../print.ts'
import { localTime, printable } from '../text.ts'

interface Options {
  readonly after?: number
  readonly json?: boolean
}

export const command = (): Command =>
  new Command('events')
    .description('What happens to all apps, as it happens, until Ctrl-C.')
    .option(
      '--after <id>',
      'begin with what came after this event (0: the oldest there is; default: now)',
      asCount(0, 2 ** 53 - 1),
    )
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  cutover events\n  cutover events --after 0 --json')
    .action(events)

async function events({ after, json }: Options): Promise<void> {
  for await (const event of connect().events(after ?? null)) {
    if (json) sayJson(event)
    else say([localTime(event.at), event.app ?? '', event.text].filter(Boolean).map(printable).join('  '))
    await whenPrinted()
  }
}
