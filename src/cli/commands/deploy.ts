import { resolve } from 'node:path'
import { Command, Option } from 'commander'
import { usageError } from '../../core/errors.ts'
import { operate } from '../operation.ts'
import { byOption, jsonOption, quietOption } from '../options.ts'

interface Options {
  readonly label?: string
  readonly canary?: string
  readonly promote: boolean
  readonly wait: boolean
  readonly json?: boolean
  readonly quiet?: boolean
  readonly by?: string
}

export const command = (): Command =>
  new Command('deploy')
    .description(
      'Copies the app in DIR (here, if left out) into a new release, starts it beside the active one, waits until it is ready, and moves ' +
        'the public port to it. If anything goes wrong before that, traffic stays where it is. Ctrl-C before the cutover undoes it all.',
    )
    .argument('[DIR]', "the app's own folder, with its cutover.yaml", '.')
    .option('--label <label>', 'what to call the release besides its number (default: the git commit)')
    .addOption(byOption())
    .addOption(jsonOption())
    .addOption(quietOption())
    .addOption(new Option('--canary <share>').hideHelp())
    .addOption(new Option('--no-promote').hideHelp())
    .addOption(new Option('--no-wait').hideHelp())
    .addHelpText(
      'after',
      `
Examples:
  cutover deploy                    the app in this folder
  cutover deploy /srv/shop          the app in that one
  cutover deploy --label 2026-03    with a label of your own
  cutover deploy --json             the receipt as JSON on stdout`,
    )
    .action(deploy)

async function deploy(directory: string, { label, canary, promote, wait, json, quiet, by }: Options): Promise<void> {
  const later = [canary !== undefined && '--canary', !promote && '--no-promote', !wait && '--no-wait'].find(Boolean)
  if (later) throw usageError(`"deploy ${later}" is not built yet. Nothing was deployed.`)
  const request = { directory: resolve(directory), path: process.env.PATH ?? '' }
  await operate({ kind: 'deploy', ...request, ...(label && { label }) }, { json, quiet, by })
}
