/**
 * Asks an app again and again, each time over a new connection, from a process of its own, until another release answers. Times are those
 * of CLOCK_MONOTONIC, which all processes share.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { ask } from './ask.ts'

/** The first answer of another release, in milliseconds of {@link monotonicMs}. */
export interface Change {
  /** As the app calls itself: `v4`. */
  readonly release: string
  readonly begunMs: number
  readonly answeredMs: number
}

export interface Prober extends AsyncDisposable {
  /** Begins to ask; resolves when that release, which is to be left, has answered. */
  start(release: string): Promise<void>
  /** The first answer of another one, after which it rests. */
  change(): Promise<Change>
}

export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6

const patienceMs = 10_000

export async function startProber(port: number): Promise<Prober> {
  const child = fork(fileURLToPath(import.meta.url), [String(port)], { execArgv: [] })
  await heard(child)
  return {
    start: async (release) => {
      child.send('start')
      const first = await heard(child)
      if (first.release !== release) throw new Error(`${first.release} answers instead of ${release}`)
    },
    change: () => heard(child),
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function heard(child: ChildProcess): Promise<Change> {
  const [change] = await once(child, 'message', { signal: AbortSignal.timeout(patienceMs) })
  return change
}

/** Tells the first answer, and the first one of another release. */
async function untilChanged(port: number): Promise<void> {
  let first: string | null = null
  for (;;) {
    const begunMs = monotonicMs()
    const [release = ''] = (await ask(port)).split(' ')
    const answeredMs = monotonicMs()
    if (release === first) continue
    process.send?.({ release, begunMs, answeredMs } satisfies Change)
    if (first !== null) return
    first = release
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.on('disconnect', () => process.exit())
  process.on('message', () => void untilChanged(Number(process.argv[2])))
  process.send?.('ready')
}
