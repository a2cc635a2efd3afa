/** Reaching the daemon: starting it where there is none, and saying what is wrong where it cannot be reached. */
import { statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { CutoverError } from '../core/errors.ts'
import { groupName, userName } from '../daemon/actor.ts'
import type { Place } from '../daemon/place.ts'
import { requireTrusted } from '../daemon/trusted.ts'
import { type Answer, askOver, codeOf, isNobodyThere, type Request } from './transport.ts'

/** Nobody answers, and nobody was to be started. */
export class NoDaemon extends CutoverError {
  constructor(place: Place) {
    super('unreachable', `No daemon runs in ${place.home}. The next command that needs one starts it.`)
  }
}

/** How long to wait for a daemon that another command is starting at this moment, or that is just making place for the next. */
const patienceMs = 30_000

/**
 * Asks the daemon of that home. Where none answers, `start` starts one first.
 * @throws CutoverError `unreachable`, with who may and what to do.
 */
export function reach(place: Place, start: ((place: Place) => Promise<void>) | null) {
  return async (request: Request): Promise<Answer> => {
    // Root believes no daemon that somebody else may have put there.
    if (process.geteuid?.() === 0) requireTrusted(place.home)
    try {
      return await askOver(place.socket, request)
    } catch (error) {
      if (!isNobodyThere(error) && !mayAskAgain(request, error)) throw explained(error, place)
    }
    if (start === null) throw new NoDaemon(place)
    await start(place)
    return await askSoon(place, request)
  }
}

/** A daemon that ends before it has answered a question: the next one knows the answer as well. What changes something is never asked twice. */
const mayAskAgain = ({ method }: Request, error: unknown): boolean => method === 'GET' && isCut(error)

const isCut = (error: unknown): boolean => ['ECONNRESET', 'EPIPE'].includes(codeOf(error))

async function askSoon(place: Place, request: Request): Promise<Answer> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    try {
      return await askOver(place.socket, request)
    } catch (error) {
      if (!isNobodyThere(error) && !mayAskAgain(request, error)) throw explained(error, place)
      if (performance.now() > deadline)
        throw new CutoverError(
          'unreachable',
          `A daemon of ${place.home} runs but does not answer. Its log: ${place.log}`,
        )
    }
    await sleep(50)
  }
}

function explained(error: unknown, place: Place): unknown {
  const code = codeOf(error)
  if (code === 'EACCES' || code === 'EPERM') return new CutoverError('unreachable', whoMay(place), { cause: error })
  if (isCut(error))
    return new CutoverError('unknown', 'The daemon ended before it answered. What is true now: cutover status', {
      cause: error,
    })
  return error
}

function whoMay({ socket }: Place): string {
  const you = userName(process.geteuid?.() ?? 0)
  try {
    const { uid, gid } = statSync(socket)
    const owners = new Set(['root', userName(uid)])
    return `${you} may not talk to the daemon at ${socket}. ${[...owners].join(', ')} and members of the group ${groupName(gid)} may.`
  } catch {
    return `${you} may not look for a daemon at ${socket}. Run this with sudo, or ask for access to that folder.`
  }
}
