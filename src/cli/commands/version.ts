import { Command } from 'commander'
import { schema } from '../../core/documents.ts'
import { ownVersion } from '../../program.ts'
import { connectToRunning } from '../connect.ts'
import { jsonOption } from '../options.ts'
import { say, sayJson } from '../print.ts'

export const command = (): Command =>
  new Command('version')
    .description('Which version this is, and which one the daemon is, if one runs.')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  cutover version --json')
    .action(version)

async function version({ json }: { readonly json?: boolean }): Promise<void> {
  const own = ownVersion()
  // Whoever may not talk to the daemon may still know what this is.
  const daemon = await connectToRunning()
    .daemon()
    .catch(() => null)
  if (json) return sayJson({ schema, version: own, daemon: daemon && { version: daemon.version, pid: daemon.pid } })
  say(`cutover ${own}`)
  if (daemon) say(`daemon ${daemon.version}, pid ${daemon.pid}`)
}
