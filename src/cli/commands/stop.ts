import { Command } from 'commander'
import { confirm } from '../ask.ts'
import { appNamedOrMeant, connect } from '../connect.ts'
import { operate } from '../operation.ts'
import { appArgument, byOption, jsonOption, quietOption, yesOption } from '../options.ts'

interface Options {
  readonly yes?: boolean
  readonly json?: boolean
  readonly quiet?: boolean
  readonly by?: string
}

export const command = (): Command =>
  new Command('stop')
    .description(
      'Ends the processes of the app. Its ports stay reserved, and clients are refused until start. Its releases stay. ' +
        'This is an outage, so it asks on a terminal.',
    )
    .argument('[APP]', appArgument)
    .addOption(yesOption())
    .addOption(byOption())
    .addOption(jsonOption())
    .addOption(quietOption())
    .addHelpText('after', '\nExamples:\n  cutover stop shop\n  cutover stop shop --yes')
    .action(stop)

async function stop(named: string | undefined, { yes = false, json, quiet, by }: Options): Promise<void> {
  const client = connect({ by })
  const app = await appNamedOrMeant(client, named)
  await confirm({ question: `Stop ${app} and refuse its clients?`, yes, otherwise: 'go on' })
  await operate({ kind: 'stop', app }, { json, quiet, by }, client)
}
