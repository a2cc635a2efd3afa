import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { schema } from '../../core/documents.ts'
import { CutoverError, failure, refusal } from '../../core/errors.ts'
import { defaultPlace, type Place } from '../../daemon/place.ts'
import { requireTrusted } from '../../daemon/trusted.ts'
import type { Descriptor } from '../../linux/ffi.ts'
import { ownVersion } from '../../program.ts'
import { confirm } from '../ask.ts'
import { connect, connectToRunning } from '../connect.ts'
import { jsonOption, yesOption } from '../options.ts'
import { note, say, sayJson } from '../print.ts'
import { printable } from '../text.ts'

export const command = (): Command =>
  new Command('daemon')
    .description(
      'Runs the daemon in the foreground; it logs JSON lines. Other commands start one in the background where none runs. Apps and traffic ' +
        'do not need it: they go on when it ends. A daemon of another version makes place, as soon as no deploy or other operation runs; one of ' +
        'this version does not (exit code 4).',
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
  requireTrusted(place.home)
  const { installProgram } = await import('../../daemon/program/install.ts')
  const program = await installProgram(place.home)
  const { keepOnExec } = await import('../../linux/descriptors.ts')
  const lock = await lockOfFormer(place, program)
  keepOnExec(lock)
  process.chdir('/')
  const environment = { ...process.env, CUTOVER_HOME: place.home }
  const [node, ...args] = program
  process.execve?.(node, [node, ...args, '--lock-fd', String(lock.fd)], environment)
}

/** A command: that of the daemon. */
type Program = readonly [string, ...string[]]

/** With the lock no other command can start a daemon. Until then one may be quicker, as a daemon of the former version: that one is asked again. */
async function lockOfFormer(place: Place, program: Program): Promise<Descriptor> {
  const { takeLock } = await import('../../daemon/lock.ts')
  for (let tries = 1; ; tries++) {
    await takeOver(place, program)
    try {
      return takeLock(place)
    } catch (error) {
      if (!(error instanceof CutoverError) || tries === mostTries) throw error
      await sleep(betweenTriesMs)
    }
  }
}

const mostTries = 20
const betweenTriesMs = 250

/**
 * Makes a daemon of another version leave, once what it is asked to do is done.
 * @throws CutoverError `refused` if the one that runs is of this version, `failed` if this one could not go on from there: then that one stays
 */
async function takeOver(place: Place, program: Program): Promise<void> {
  const client = connectToRunning()
  const running = await client.daemon()
  if (running === null) return
  const { version, pid } = running
  if (version === ownVersion())
    throw refusal(
      `A daemon of this version (${version}, pid ${pid}) runs already. To end it, apps going on: cutover daemon stop`,
    )
  await requireTakeable(place, program, `The daemon of version ${version} (pid ${pid}) goes on.`)
  const busy = (await client.status()).apps.flatMap(({ app, busy }) => (busy === null ? [] : [`${app} (${busy})`]))
  note(
    `The daemon of version ${printable(version)} (pid ${pid}) makes place` +
      (busy.length === 0 ? '.' : ` when it has ended its work: ${printable(busy.join(', '))}.`),
  )
  await client.stopDaemon(false, true)
}

/** Asks the program that is about to be the daemon whether it knows what it would find. It changes nothing. */
async function requireTakeable({ home }: Place, [node, ...args]: Program, otherwise: string): Promise<void> {
  const { execFile } = await import('node:child_process')
  const { promisify } = await import('node:util')
  const env = { ...process.env, CUTOVER_HOME: home }
  try {
    await promisify(execFile)(node, [...args, '--look-only'], { env })
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string }
    throw failure(`${stderr.trim().replace(/\.$/, '') || String(error)}. ${otherwise}`, { cause: error })
  }
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
