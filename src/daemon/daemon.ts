/** One daemon of one home: its lock, its engine, its API, and how it ends. */
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import type { Actor } from '../core/documents.ts'
import { refusal } from '../core/errors.ts'
import type { Engine, Log } from '../engine/engine.ts'
import type { EngineOptions } from '../engine/open.ts'
import type { Descriptor } from '../linux/ffi.ts'
import { createApi } from './api.ts'
import { listenAt, stopListening } from './listen.ts'
import { takeLock } from './lock.ts'
import { createOperations } from './operations.ts'
import type { Place } from './place.ts'
import { requireTrusted } from './trusted.ts'

export interface DaemonOptions {
  readonly place: Place
  readonly version: string
  readonly log: Log
  readonly open: (options: EngineOptions) => Promise<Engine>
  /** The lock of the home, if this process has it already. */
  readonly lock?: Descriptor | undefined
}

export interface Daemon {
  /** Ends the daemon only: what runs is interrupted as by its client; apps and traffic go on. */
  leave(): Promise<void>
  /** Resolves when the last answer has been given, after somebody made the daemon leave. */
  readonly ended: Promise<void>
}

/** How long operations may take to end cleanly when the daemon leaves, and answers to be read. */
const operationPatienceMs = 20_000
const answerPatienceMs = 2000

/**
 * Starts a daemon in this process. It answers when the promise resolves.
 * @throws CutoverError `refused` if one of this home runs already; whatever opening the engine throws.
 */
export async function startDaemon({ place, version, log, open, lock: own }: DaemonOptions): Promise<Daemon> {
  requireTrusted(place.home)
  mkdirSync(place.home, { recursive: true, mode: 0o755 })
  const lock = own ?? takeLock(place)
  try {
    const engine = await open({ home: place.home, log })
    return await serve(engine, lock, { place, version, log })
  } catch (error) {
    lock[Symbol.dispose]()
    throw error
  }
}

async function serve(
  engine: Engine,
  lock: Descriptor,
  { place, version, log }: Omit<DaemonOptions, 'open' | 'lock'>,
): Promise<Daemon> {
  const operations = createOperations()
  const ending = new AbortController()
  const gone = new AbortController()
  const ended = Promise.withResolvers<void>()
  const self = { pid: process.pid, version, since: new Date().toISOString() }

  const end = async (how: Leaving) => {
    log.info({ all: how.all }, 'the daemon ends')
    ending.abort(new Error('the daemon ends'))
    // Without --all what takes longer is finished by the next daemon. With it nothing may be half done.
    const patience = how.all ? [] : [sleep(operationPatienceMs, undefined, { ref: false })]
    await Promise.race([operations.end(), ...patience])
    try {
      if (how.all) await engine.shutdown(how.by)
    } finally {
      gone.abort()
      const answered = stopListening(server, place.socket, answerPatienceMs)
      engine.close()
      lock[Symbol.dispose]()
      answered.then(ended.resolve)
    }
  }
  let leaving: { readonly all: boolean; readonly done: Promise<void> } | null = null
  const leave = async (how: Leaving) => {
    leaving ??= { all: how.all, done: end(how) }
    if (how.all && !leaving.all)
      throw refusal('The daemon is ending already, and the apps go on. To end them: ask again.')
    await leaving.done
  }

  const api = createApi({
    engine,
    log,
    self,
    socket: place.socket,
    operations,
    ending: ending.signal,
    gone: gone.signal,
    leave: ({ all, by }) => leave(all ? { all, by } : { all }),
  })
  const server = createServer(getRequestListener(api.fetch, { hostname: 'cutover' }))
  await listenAt(server, place.socket)
  log.info({ version, home: place.home }, 'the daemon answers')
  return { leave: () => leave({ all: false }), ended: ended.promise }
}

type Leaving = { readonly all: false } | { readonly all: true; readonly by: Actor }
