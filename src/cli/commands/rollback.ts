import { Command } from 'commander'
import { rollback } from '../acts/rollback.ts'
import { appArgument, asRelease, byOption, jsonOption, quietOption } from '../options.ts'

export const command = (): Command =>
  new Command('rollback')
    .description(
      'Gives traffic back to the release that was active before the present one was deployed, or to the one that --to names. After a ' +
        'rollback a second one without --to is refused until the next deploy, so that two people in a hurry do not go one release too far.',
    )
    .argument('[APP]', appArgument)
    .option('--to <vN>', 'go to this release; any that is still on disk', asRelease)
    .option('--from <vN>', 'act only if this release is active', asRelease)
    .addOption(byOption())
    .addOption(jsonOption())
    .addOption(quietOption())
    .addHelpText(
      'after',
      `
Examples:
  cutover rollback                  back to the release before
  cutover rollback shop --to v3     to v3, running or not
  cutover rollback --from v5        only if v5 is what is live`,
    )
    .action(rollback)
