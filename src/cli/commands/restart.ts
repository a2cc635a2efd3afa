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
  new Command('restart')
    .description(
      'Starts what is live anew, as a release of its own: the same files and config, what its env_file says now, and a cutover like any ' +
        'other. Neither build nor release runs. Ctrl-C before the cutover undoes it all.',
    )
    .argument('[APP]', appArgument)
    .addOption(byOption())
    .addOption(jsonOption())
    .addOption(quietOption())
    .addHelpText('after', '\nExamples:\n  cutover restart\n  cutover restart shop --json')
    .action(restart)

async function restart(named: string | undefined, { json, quiet, by }: Options): Promise<void> {
  const client = connect({ by })
  await operate({ kind: 'restart', app: await appNamedOrMeant(client, named) }, { json, quiet, by }, client)
}
