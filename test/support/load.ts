/**
 * Load that accounts for every request, from a process of its own so that neither side disturbs the other.
 *
 *     await using load = await startLoad({ kind: 'short', port: 8080 })
 *     …
 *     assertNoneLost(await load.stop())
 */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'
import type { Kind } from './load-clients.ts'
import { answeredIn, assertBalanced, type Fates, lostIn } from './load-fates.ts'
import { fatesTable } from './load-table.ts'

export type { Kind } from './load-clients.ts'
export { answeredIn, assertBalanced, type Fates, type Loss, losses, lostIn } from './load-fates.ts'
export { fatesTable } from './load-table.ts'

/** `h2c`: HTTP/2 in clear text, by prior knowledge. */
export type Protocol = 'http/1.1' | 'h2c'

export interface LoadSpec {
  readonly kind: Kind
  /** HTTP/1.1 if left out. Over `h2c` there are no kinds `trickle` and `websocket`. */
  readonly protocol?: Protocol
  readonly port: number
  /** An IPv4 or IPv6 address; 127.0.0.1 if left out. */
  readonly address?: string
  /** 16 if left out. */
  readonly clients?: number
  /** By kind: `/`, `/slow?ms=…`, `/websocket`, `/stream?every=…`: what the example apps understand. */
  readonly path?: string
  /** Between two requests of one client; 0, as fast as it goes, if left out. */
  readonly pauseMs?: number
  /** How long a `slow` or `trickle` request takes; 3,000 if left out. */
  readonly slowMs?: number
  /** The rhythm of messages on WebSockets and streams; 50 if left out. */
  readonly everyMs?: number
  /** For a whole answer, or one message of a conversation; 15,000 if left out. */
  readonly timeoutMs?: number
}

export type FullSpec = Required<LoadSpec>

export interface Load extends AsyncDisposable {
  /** The fates so far. */
  snapshot(): Promise<Fates>
  /** Waits until the fates are as wanted: `what` completes "waited in vain until …" after `timeoutMs` (30,000). */
  until(what: string, wanted: (fates: Fates) => boolean, timeoutMs?: number): Promise<Fates>
  /** Waits until so many more are answered than at this moment. */
  more(count: number): Promise<Fates>
  /** Begins nothing more, waits for the fate of everything on its way, and ends. The result has nothing pending, and its sums agree. */
  stop(): Promise<Fates>
}

interface Message {
  readonly what: 'snapshot' | 'stopped'
  readonly fates: Fates
}

/** Starts load; the promise is kept once the clients run. Rejects, as do all calls, if the load client fails: then no count is worth anything. */
export async function startLoad(spec: LoadSpec): Promise<Load> {
  const child = fork(new URL('load-process.ts', import.meta.url), [JSON.stringify(complete(spec))], {
    execArgv: [],
    env: environment(),
  })
  const ask = talkTo(child)
  await ask(null, 'snapshot')

  const load: Load = {
    async snapshot() {
      const fates = await ask('snapshot', 'snapshot')
      assertBalanced(fates)
      return fates
    },
    async until(what, wanted, timeoutMs = 30_000) {
      const deadline = performance.now() + timeoutMs
      while (true) {
        const fates = await load.snapshot()
        if (wanted(fates)) return fates
        if (performance.now() > deadline)
          throw new Error(`waited in vain until ${what}\n${fatesTable({ load: fates })}`)
        await pause(20)
      }
    },
    async more(count) {
      const answered = answeredIn(await load.snapshot())
      return await load.until(`${count} more are answered`, (fates) => answeredIn(fates) > answered + count)
    },
    async stop() {
      const fates = await ask('stop', 'stopped')
      child.disconnect()
      assertBalanced(fates)
      assert.equal(fates.pending, 0, 'requests still pending at the end')
      return fates
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
    },
  }
  return load
}

/** Fails, with the whole table and the first losses, unless there was load, and all of it was answered. */
export function assertNoneLost(fates: Fates): void {
  assert.ok(answeredIn(fates) > 0, 'there was no load at all')
  assert.equal(lostIn(fates), 0, `requests were lost\n${fatesTable({ load: fates })}\n${describeLosses(fates)}`)
}

/** The first losses, one a line. */
export const describeLosses = (fates: Fates): string =>
  fates.failures
    .map(({ fate, detail, begunMs, lostMs }) => `${fate}: ${detail} (${begunMs.toFixed(1)} to ${lostMs.toFixed(1)} ms)`)
    .join('\n')

/** One question at a time goes over the channel; snapshots are asked for in turn. */
function talkTo(child: ChildProcess) {
  let turn: Promise<unknown> = Promise.resolve()
  const gone = new Promise<never>((_, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`the load client ended by itself (${code ?? signal})`)))
  })
  gone.catch(() => {})
  return (question: string | null, answer: Message['what']): Promise<Fates> => {
    const told = turn.then(() => {
      const message = new Promise<Fates>((resolve, reject) => {
        const hear = ({ what, fates }: Message) => {
          if (what !== answer) return reject(new Error(`the load client said ${what}`))
          resolve(fates)
        }
        child.once('message', (said) => hear(said as Message))
      })
      if (question !== null) child.send(question)
      return Promise.race([message, gone])
    })
    turn = told.catch(() => {})
    return told
  }
}

function complete(spec: LoadSpec): FullSpec {
  const { slowMs = 3_000, everyMs = 50 } = spec
  const paths: Readonly<Record<Kind, string>> = {
    short: '/',
    'keep-alive': '/',
    slow: `/slow?ms=${slowMs}`,
    trickle: '/',
    websocket: '/websocket',
    stream: `/stream?every=${everyMs}`,
  }
  return {
    protocol: 'http/1.1',
    address: '127.0.0.1',
    clients: 16,
    path: paths[spec.kind],
    pauseMs: 0,
    timeoutMs: 15_000,
    slowMs,
    everyMs,
    ...spec,
  }
}

/** Without the test runner's own variables, which would make the load client report as a test. */
function environment(): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env
  return rest
}
