/** Clients that ask one request after another, each over a connection of its own, and remember when, and who answered. */
import { get } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

/** A request: from when to when, in ms of the clock that all of a machine share, and by which release; null: it was lost. */
export interface Asked {
  readonly from: number
  readonly to: number
  readonly by: string | null
}

export interface Clients {
  /** By client, what was under way at any moment in that time. Resolves when all of it has ended. */
  between(from: number, to: number): Promise<Asked[][]>
  /** Resolves when what is under way has ended. */
  stop(): Promise<void>
}

/** Time of day in ms, with fractions. */
export const clock = (): number => performance.timeOrigin + performance.now()

/** @param paths of a client each; `pauseMs` lies between two requests of one */
export function startClients(port: number, paths: readonly string[], pauseMs: number): Clients {
  let ended = false
  const asked: Asked[][] = paths.map(() => [])
  const run = async (path: string, notes: Asked[]) => {
    while (!ended) {
      const from = clock()
      const by = await ask(port, path)
      notes.push({ from, to: clock(), by })
      await sleep(pauseMs)
    }
  }
  const running = paths.map((path, index) => run(path, asked[index] ?? []))
  return {
    between: async (from, to) => {
      // Who began after it has ended what went before.
      while (!ended && asked.some((notes) => (notes.at(-1)?.to ?? 0) < to)) await sleep(pauseMs)
      return asked.map((notes) => notes.filter((one) => one.to >= from && one.from <= to))
    },
    stop: async () => {
      ended = true
      await Promise.all(running)
    },
  }
}

/** What the Node example answers begins with its release. */
const ask = (port: number, path: string): Promise<string | null> =>
  new Promise((resolve) => {
    const request = get({ port, host: '127.0.0.1', path, agent: false }, (answer) =>
      text(answer).then(
        (body) => resolve(body.split(' ')[0] ?? null),
        () => resolve(null),
      ),
    )
    request.on('error', () => resolve(null))
  })
