import { Command } from 'commander'
import { status } from '../acts/status.ts'
import { jsonOption } from '../options.ts'

export const command = (): Command =>
  new Command('status')
    .description('What is live on which port, what stands by, and how busy each release is: of one app, or of all.')
    .argument('[APP]', 'the app (default: all)')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  cutover status\n  cutover status shop\n  cutover status --json')
    .action(status)
