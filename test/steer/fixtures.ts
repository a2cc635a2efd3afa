/** Steering as a library, for tests: in a bpffs and a cgroup of its own, with small apps that do what they are told. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createCgroup, insideCgroup } from '../../src/linux/cgroup.ts'
import { mountBpffs, unmount } from '../../src/linux/mounts.ts'
import { openSteering } from '../../src/strategies/steer/steering.ts'
import type { DeclaredPort, ReleaseRef, Steering } from '../../src/strategies/steering.ts'
import { temporaryCgroup } from '../support/workspace.ts'

export interface TestSteering {
  /** The one that was opened last. */
  readonly steering: Steering
  readonly pins: string
  readonly cgroup: string
  /** Another one from the same pins, as a next daemon would have it, with its own programs or those of this folder; the former is closed. */
  reopen(objects?: URL): Steering
  /** A release with a cgroup of its own. */
  release(ref: ReleaseRef, ports?: readonly DeclaredPort[]): string
}

/** A bpffs for this test alone. */
export function temporaryBpffs(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-bpf-'))
  mountBpffs(directory)
  t.after(() => {
    unmount(directory)
    rmSync(directory, { recursive: true })
  })
  return directory
}

/** Opens steering that is gone, with everything in the kernel, when the test ends. */
export function startSteering(t: TestContext): TestSteering {
  let steering: Steering | null = null
  t.after(() => steering?.destroy())
  const pins = join(temporaryBpffs(t), 'pins')
  const cgroup = temporaryCgroup(t)
  steering = openSteering({ pins, cgroup })
  const opened: TestSteering = {
    get steering() {
      return steering as Steering
    },
    pins,
    cgroup,
    reopen: (objects) => {
      steering?.close()
      steering = openSteering({ pins, cgroup, ...(objects && { objects }) })
      return steering
    },
    release: (ref, ports = []) => {
      const own = temporaryCgroup(t)
      opened.steering.addRelease(ref, own, ports)
      return own
    },
  }
  return opened
}

export interface App {
  readonly pid: number
  /** Runs Python in it (app.py has helpers) and gives the value. Rejects with the errno's name, or with what Python said. */
  run(code: string): Promise<unknown>
  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<void>
}

export interface AppOptions {
  /** It runs as this user. */
  readonly uid?: number
  /** A program, with arguments, that becomes the app. */
  readonly by?: readonly string[]
}

const script = fileURLToPath(new URL('app.py', import.meta.url))

/** Starts the app in the cgroup (null: in ours). It answers with its name. */
export async function startApp(
  t: TestContext,
  cgroup: string | null,
  name: string,
  { uid, by = [] }: AppOptions = {},
): Promise<App> {
  const user = uid === undefined ? [] : ['setpriv', '--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups', '--']
  const [program = '', ...rest] = [...by, ...user, '/usr/bin/python3', script, name]
  const start = () => spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] })
  const child = cgroup === null ? start() : insideCgroup(cgroup, start)
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  t.after(kill)
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<string> => {
    const line = await lines.next()
    if (line.done) throw new Error(`${name} ended`)
    return line.value
  }
  await next()
  return {
    pid: child.pid ?? 0,
    run: async (code) => {
      child.stdin.write(`${JSON.stringify(code)}\n`)
      const told: { value?: unknown; error?: string } = JSON.parse(await next())
      if (told.error !== undefined) throw new Error(told.error)
      return told.value
    },
    kill,
  }
}

/** What it failed with, or `no error`. */
export const errorOf = (act: Promise<unknown>): Promise<string> =>
  act.then(
    () => 'no error',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )

/** A worker's own cgroup, as the daemon makes them. */
export function workerOf(release: string, worker: number): string {
  const own = join(release, `w${worker}`)
  createCgroup(own)
  return own
}

/** What is answered at the address on a connection of its own, or the code of the error, as in `ECONNREFUSED`. */
export const ask = (port: number, host = '127.0.0.1'): Promise<string> => askOver(connect({ port, host }))

/** The same over a connection that is made already, or is being made. */
export async function askOver(socket: Socket): Promise<string> {
  try {
    socket.write('?')
    return (await text(socket)) || 'closed'
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  } finally {
    socket.destroy()
  }
}

/** A connection over which nothing was asked yet. */
export async function connected(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host })
  await once(socket, 'connect')
  return socket
}

/** A client that is connected, and has asked; `answer` comes whenever somebody serves it. */
export async function waitingClient(port: number, host = '127.0.0.1') {
  const socket = await connected(port, host)
  return { answer: askOver(socket), end: () => void socket.destroy() }
}

/** How often each text came. */
export function tally(texts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const one of texts) counts[one] = (counts[one] ?? 0) + 1
  return counts
}

/** Asks `times` times, one connection after another. */
export async function askTimes(times: number, port: number, host = '127.0.0.1'): Promise<Record<string, number>> {
  const answers: string[] = []
  for (let i = 0; i < times; i++) answers.push(await ask(port, host))
  return tally(answers)
}

/** Clients that ask one after another until they are told to stop; then how often each answer came. */
export function keepAsking(clients: number, act: () => Promise<string>): () => Promise<Record<string, number>> {
  const over = new AbortController()
  const answers: string[] = []
  const all = Array.from({ length: clients }, async () => {
    while (!over.signal.aborted) answers.push(await act())
  })
  return async () => {
    over.abort()
    await Promise.all(all)
    return tally(answers)
  }
}

/** The cookies of a release's listeners on the port, lowest place first. */
export const cookiesOf = (steering: Steering, ref: ReleaseRef, port: number): string[] =>
  steering
    .listeners(ref)
    .filter((one) => one.port === port)
    .toSorted((a, b) => a.place - b.place)
    .map(({ cookie }) => String(cookie))
