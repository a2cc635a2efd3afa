import { Command } from 'commander'
import { appNamedOrMeant, connect } from '../connect.ts'
import { operate } from '../operation.ts'
import { appArgument, byOption, jsonOption, quietOption } from '../options.ts'

interface Options {
  readonly json?: boolean
  readonly quiet?: boolean
  readonly by?: string
}

export const command = (): Command =>
  new Command('start')
    .description(
      'Starts the release of a stopped app that was active when it was stopped, and lets its clients in once it is ready.',
    )
    .argument('[APP]', appArgument)
    .addOption(byOption())
    .addOption(jsonOption())
    .addOption(quietOption())
    .addHelpText('after', '\nExample:\n  cutover start shop')
    .action(start)

async function start(named: string | undefined, { json, quiet, by }: Options): Promise<void> {
  const client = connect({ by })
  await operate({ kind: 'start', app: await appNamedOrMeant(client, named) }, { json, quiet, by }, client)
}
