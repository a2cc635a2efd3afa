/** The example apps for tests: their folders, changed as a test likes, and running without Cutover. */
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import type { Kind } from './load-clients.ts'
import { needs } from './packages.ts'

export type ExampleName = 'node' | 'python' | 'gunicorn' | 'caddy'

interface Example {
  readonly name: ExampleName
  readonly port: number
  readonly run: readonly string[]
  /** The kinds of load that it understands. */
  readonly kinds: readonly Kind[]
  /** For the `skip` option of a test. */
  readonly skip: string | false
}

const directoryOf = (name: ExampleName): string => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))

const everything: readonly Kind[] = ['short', 'keep-alive', 'slow', 'trickle', 'websocket', 'stream']

const kinds: Readonly<Record<ExampleName, readonly Kind[]>> = {
  node: everything,
  python: everything.filter((kind) => kind !== 'websocket'),
  gunicorn: everything.filter((kind) => kind !== 'websocket'),
  caddy: ['short', 'keep-alive', 'trickle'],
}

const packages = { node: [], python: ['python3'], gunicorn: ['gunicorn'], caddy: ['caddy'] } as const

export function example(name: ExampleName): Example {
  const config = parse(readFileSync(join(directoryOf(name), 'cutover.yaml'), 'utf8'))
  return { name, port: config.port, run: config.run.split(' '), kinds: kinds[name], skip: needs(...packages[name]) }
}

export const exampleNames = ['node', 'python', 'gunicorn', 'caddy'] as const

/** A copy of the example's folder, gone when the test ends. Files in `changes` are written over it: `{VERSION: '7'}`. */
export function exampleFolder(
  t: TestContext,
  name: ExampleName,
  changes: Readonly<Record<string, string>> = {},
): string {
  const directory = mkdtempSync(join(tmpdir(), `cutover-example-${name}-`))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  cpSync(directoryOf(name), directory, { recursive: true })
  for (const [file, text] of Object.entries(changes)) writeFileSync(join(directory, file), text)
  return directory
}

/** Starts the example as it is, in a process group of its own that ends with the test, and waits until it accepts connections. */
export async function startExample(t: TestContext, name: ExampleName, release: string): Promise<ChildProcess> {
  const { run, port } = example(name)
  const home = mkdtempSync(join(tmpdir(), 'cutover-home-'))
  const [program = '', ...args] = run
  const child = spawn(program, args, {
    cwd: exampleFolder(t, name),
    env: { PATH: process.env.PATH, HOME: home, CUTOVER_RELEASE: release },
    stdio: 'ignore',
    detached: true,
  })
  t.after(async () => {
    await endGroup(child)
    rmSync(home, { recursive: true, force: true })
  })
  await untilAccepting(port, () => child.exitCode === null && child.signalCode === null)
  return child
}

/** SIGKILL to the child's whole process group; kept once the child has ended. */
export async function endGroup(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  process.kill(-child.pid, 'SIGKILL')
  await ended
}

/** Waits until somebody accepts connections on 127.0.0.1, for at most 30 s. Throws at once when `alive` says that nobody will. */
export async function untilAccepting(port: number, alive: () => boolean = () => true): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!(await accepts(port))) {
    if (!alive()) throw new Error(`the server ended before it listened on ${port}`)
    if (performance.now() > deadline) throw new Error(`nobody listens on ${port}`)
    await pause(20)
  }
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
