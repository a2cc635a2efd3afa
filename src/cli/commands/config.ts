import { resolve } from 'node:path'
import { Command } from 'commander'
import { schema } from '../../core/documents.ts'
import { jsonOption } from '../options.ts'
import { say, sayJson } from '../print.ts'
import { printableLines } from '../text.ts'

export const command = (): Command =>
  new Command('config')
    .description(
      'Shows what the cutover.yaml in DIR (here, if left out) means, every default filled in. The values of env are hidden, and files that ' +
        'env_file names are not read.',
    )
    .argument('[DIR]', "the app's own folder", '.')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  cutover config\n  cutover config /srv/shop --json')
    .action(config)

async function config(directory: string, { json }: { readonly json?: boolean }): Promise<void> {
  const { readConfig } = await import('../../engine/read-config.ts')
  const { writtenConfig } = await import('../../core/config-written.ts')
  const { stringify } = await import('yaml')
  const written = writtenConfig(await readConfig(resolve(directory)))
  if (json) sayJson({ schema, config: written })
  else say(printableLines(stringify(written).trimEnd()))
}
