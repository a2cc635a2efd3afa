/** Starting a daemon in the background, and waiting until it answers. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, constants, mkdirSync, openSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { CutoverError } from '../core/errors.ts'
import type { Word } from './main.ts'
import type { Place } from './place.ts'
import { requireTrusted } from './trusted.ts'

/** The descriptor at which a background daemon finds its pipe. */
const readyFd = 3

/** The command of a background daemon. */
const ownCommand = [
  process.execPath,
  fileURLToPath(new URL('../../bin/cutover.js', import.meta.url)),
  'daemon',
  '--ready-fd',
  String(readyFd),
]

/**
 * Starts a daemon of that home in a session of its own and waits until it answers. What it prints goes to its log. Another one that was
 * there first will do.
 * @throws CutoverError `unreachable` if it could not start, with its reason.
 */
export async function startInBackground(place: Place, command: readonly string[] = ownCommand): Promise<void> {
  requireTrusted(place.home)
  mkdirSync(place.home, { recursive: true, mode: 0o755 })
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants
  const log = openSync(place.log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o640)
  const [program = process.execPath, ...args] = command
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

/** What the daemon says when it answers or gives up; null if it ends without a word. */
async function heard(child: ChildProcess): Promise<Word | null> {
  const failed = new Promise<never>((_, reject) => child.once('error', reject))
  const said = await Promise.race([text(child.stdio[readyFd] as Readable), failed])
  return said.endsWith('\n') ? (JSON.parse(said) as Word) : null
}
