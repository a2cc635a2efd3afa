/** Starting a daemon in the background, and waiting until it answers. */
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, closeSync, constants, mkdirSync, openSync, rmSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { CutoverError } from '../core/errors.ts'
import type { Word } from './main.ts'
import type { Place } from './place.ts'
import { requireTrusted } from './trusted.ts'

/** The descriptor at which a background daemon finds its pipe. */
const readyFd = 3

/**
 * Starts a daemon of that home in a session of its own and waits until it answers. What it prints goes to its log. Another one that was
 * there first will do. Without a command it is this version's, from a copy of the program.
 * @throws CutoverError `unreachable` if it could not start, with its reason.
 */
export async function startInBackground(place: Place, command?: readonly string[]): Promise<void> {
  requireTrusted(place.home)
  makeHome(place.home)
  const [program = process.execPath, ...args] = command ?? (await ownCommand(place))
  const log = openLog(place.log)
  // Of the environment of whoever happened to be first, only what any program needs.
  const { PATH, HOME, LANG, TZ } = process.env
  const child = spawn(program, args, {
    cwd: '/',
    detached: true,
    env: { PATH, HOME, LANG, TZ, CUTOVER_HOME: place.home },
    stdio: ['ignore', log, log, 'pipe'],
  })
  closeSync(log)
  const word = await heard(child)
  child.unref()
  if (word === null)
    throw new CutoverError('unreachable', `The daemon ended while it started. Its log says why: ${place.log}`)
  if ('ready' in word || word.problem.kind === 'refused') return
  const { message, details } = word.problem
  throw new CutoverError('unreachable', `The daemon could not start: ${message}`, { details })
}

/** @throws CutoverError `unreachable` where this user may not have it */
function makeHome(home: string): void {
  try {
    mkdirSync(home, { recursive: true, mode: 0o755 })
    accessSync(home, constants.W_OK)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EACCES')) throw error
    const message = `No daemon runs in ${home}, and you may not start one: you may not write there. Run this with sudo, or set CUTOVER_HOME to a folder of your own.`
    throw new CutoverError('unreachable', message, { cause: error })
  }
}

async function ownCommand({ home }: Place): Promise<readonly string[]> {
  const { installProgram } = await import('./program/install.ts')
  return [...(await installProgram(home)), '--ready-fd', String(readyFd)]
}

/** Appends to what is there. A symbolic link in its place is not followed, it makes room. */
function openLog(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants
  const open = () => openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o640)
  try {
    return open()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ELOOP')) throw error
    rmSync(path)
    return open()
  }
}

/** What the daemon says when it answers or gives up; null if it ends without a word. */
async function heard(child: ChildProcess): Promise<Word | null> {
  const failed = new Promise<never>((_, reject) => child.once('error', reject))
  const said = await Promise.race([text(child.stdio[readyFd] as Readable), failed])
  return said.endsWith('\n') ? (JSON.parse(said) as Word) : null
}
