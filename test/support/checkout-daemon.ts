/** The daemon of a checkout, as people start it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import type { TestContext } from 'node:test'
import type { Checkout } from './checkout.ts'

export interface Started {
  readonly process: ChildProcess
  /** Its first line for people. */
  readonly note: Promise<string>
  /** Kept when it says so in its log; rejects if it ends before. */
  readonly answers: Promise<void>
  readonly exitCode: Promise<number | null>
}

/** `cutover daemon`, in the foreground. */
export function startDaemon(t: TestContext, { command }: Checkout, home: string): Started {
  const [node, program] = command
  const child = spawn(node, [program, 'daemon'], {
    env: { ...process.env, CUTOVER_HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  const exitCode = once(child, 'exit').then(([code]) => code)
  const ended = exitCode.then((code) => {
    throw new Error(`the daemon ended with ${code}`)
  })
  ended.catch(() => {})
  const seen = (stream: NodeJS.ReadableStream, wanted: RegExp): Promise<string> => {
    const { promise, resolve } = Promise.withResolvers<string>()
    let text = ''
    stream.on('data', (chunk) => {
      text += chunk
      const match = wanted.exec(text)
      if (match) resolve(match[0])
    })
    return Promise.race([promise, ended])
  }
  const note = seen(child.stderr, /.*\n/)
  const answers = seen(child.stdout, /the daemon answers/).then(() => {})
  // Not every test waits for both.
  for (const promise of [note, answers]) promise.catch(() => {})
  return { process: child, note, answers, exitCode }
}
