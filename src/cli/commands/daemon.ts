import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { schema } from '../../core/documents.ts'
import { failure } from '../../core/errors.ts'
import { defaultPlace } from '../../daemon/place.ts'
import { requireTrusted } from '../../daemon/trusted.ts'
import { ownVersion } from '../../program.ts'
import { confirm } from '../ask.ts'
import { connect, connectToRunning, needRoot } from '../connect.ts'
import { jsonOption, yesOption } from '../options.ts'
import { note, say, sayJson } from '../print.ts'

export const command = (): Command =>
  new Command('daemon')
    .description(
      'Runs the daemon in the foreground; it logs JSON lines. Other commands start one in the background where none runs. Apps and traffic ' +
        'do not need it: they go on when it ends. A daemon of another version makes place, one of this version does not (exit code 4).',
    )
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

/** Becomes the daemon, in the same process: whoever started this watches and ends it by its pid. */
async function run(): Promise<void> {
  const place = defaultPlace()
  needRoot(place)
  requireTrusted(place.home)
  const { installProgram } = await import('../../daemon/program/install.ts')
  const [node, ...args] = await installProgram(place.home)
  const client = connectToRunning()
  const running = await client.daemon()
  if (running && running.version !== ownVersion()) {
    note(`The daemon of version ${running.version} makes place.`)
    await client.stopDaemon(false)
  }
  process.chdir('/')
  process.execve?.(node, [node, ...args], { ...process.env, CUTOVER_HOME: place.home })
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
