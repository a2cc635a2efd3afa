import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command, Option } from 'commander'
import { schema } from '../../core/documents.ts'
import { failure } from '../../core/errors.ts'
import { defaultPlace } from '../../daemon/place.ts'
import { ownVersion } from '../../daemon/version.ts'
import { confirm } from '../ask.ts'
import { connect, connectToRunning, needRoot } from '../connect.ts'
import { asCount, jsonOption, yesOption } from '../options.ts'
import { note, say, sayJson } from '../print.ts'

export const command = (): Command =>
  new Command('daemon')
    .description(
      'Runs the daemon in the foreground; it logs JSON lines. Other commands start one in the background where none runs. Apps and traffic ' +
        'do not need it: they go on when it ends. A daemon of another version makes place, one of this version does not (exit code 4).',
    )
    .addOption(new Option('--ready-fd <fd>').argParser(asCount(3, 1023)).hideHelp())
    .addHelpText('after', '\nExamples:\n  cutover daemon\n  cutover daemon stop\n  cutover daemon stop --all')
    .action(run)
    .addCommand(stopCommand())

const stopCommand = (): Command =>
  new Command('stop')
    .summary('end the daemon; with --all, every app too')
    .description(
      'Ends the daemon only: apps and traffic go on, and the next daemon takes them over. With --all it is the outage: every app ends, and ' +
        'no process, pin or mount of Cutover is left. Such apps count as stopped until start.',
    )
    .option('--all', 'end every app too')
    .addOption(yesOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  cutover daemon stop\n  cutover daemon stop --all --yes')
    .action(stop)

async function run({ readyFd }: { readonly readyFd?: number }): Promise<void> {
  const place = defaultPlace()
  needRoot(place)
  const client = connectToRunning()
  const running = await client.daemon()
  if (running && running.version !== ownVersion()) {
    note(`The daemon of version ${running.version} makes place.`)
    await client.stopDaemon(false)
  }
  const { runDaemon } = await import('../../daemon/main.ts')
  const { openEngine } = await import('../../engine/open.ts')
  await runDaemon({ place, readyFd: readyFd ?? null, open: openEngine })
  // Whatever handle is left must not keep a daemon that has ended.
  process.exit(0)
}

interface StopOptions {
  readonly all?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

async function stop({ all = false, yes = false, json }: StopOptions): Promise<void> {
  if (all) await confirm({ question: 'End every app of this machine, and the daemon?', yes, otherwise: 'refuse' })
  const done = await stopped(all)
  if (json) return sayJson({ schema, stopped: done, all })
  if (!done) return say('No daemon runs.')
  say(all ? 'Every app and the daemon have ended.' : 'The daemon has ended. Apps and traffic go on.')
}

/** False if there was nothing to stop. */
async function stopped(all: boolean): Promise<boolean> {
  const { identify, isAlive } = await import('../../linux/process.ts')
  // Apps may run without a daemon: then one is started that can find and end them.
  const client = all && existsSync(defaultPlace().home) ? connect() : connectToRunning()
  const daemon = all && existsSync(defaultPlace().home) ? (await client.status()).daemon : await client.daemon()
  if (daemon === null) return false
  const process = identify(daemon.pid)
  await client.stopDaemon(all)
  const deadline = performance.now() + 10_000
  while (process && isAlive(process)) {
    if (performance.now() > deadline)
      throw failure(`The daemon (pid ${daemon.pid}) has let go of everything but does not end.`)
    await sleep(20)
  }
  return true
}
