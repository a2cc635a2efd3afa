import { Command } from 'commander'
import { confirm } from '../ask.ts'
import { operate } from '../operation.ts'
import { byOption, jsonOption, quietOption, yesOption } from '../options.ts'

interface Options {
  readonly yes?: boolean
  readonly json?: boolean
  readonly quiet?: boolean
  readonly by?: string
}

export const command = (): Command =>
  new Command('remove')
    .description(
      'Ends the processes of the app and gives its ports back to the machine. This is an outage, so it asks on a terminal, and needs ' +
        '--yes where there is none.',
    )
    .argument('<APP>', 'the app')
    .addOption(yesOption())
    .addOption(byOption())
    .addOption(jsonOption())
    .addOption(quietOption())
    .addHelpText('after', '\nExamples:\n  cutover remove shop\n  cutover remove shop --yes')
    .action(remove)

async function remove(app: string, { yes = false, json, quiet, by }: Options): Promise<void> {
  await confirm({ question: `Remove ${app} and give its ports back?`, yes, otherwise: 'refuse' })
  await operate({ kind: 'remove', app }, { json, quiet, by })
}
