import { resolve } from 'node:path'
import { Command } from 'commander'
import { schema } from '../../core/documents.ts'
import { jsonOption } from '../options.ts'
import { say, sayJson } from '../print.ts'
import { portList } from '../text.ts'

export const command = (): Command =>
  new Command('validate')
    .description(
      'Checks the cutover.yaml in DIR (here, if left out) without touching anything. All problems are told at once.',
    )
    .argument('[DIR]', "the app's own folder", '.')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  cutover validate\n  cutover validate /srv/shop --json')
    .action(validate)

async function validate(directory: string, { json }: { readonly json?: boolean }): Promise<void> {
  const { readConfig } = await import('../../engine/read-config.ts')
  const config = await readConfig(resolve(directory))
  const ports = config.ports.map(({ port }) => port)
  if (json) sayJson({ schema, valid: true, app: config.app, ports })
  else say(`cutover.yaml is right: ${config.app} on ${portList(ports)}.`)
}
