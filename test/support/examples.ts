/** The example apps for tests: their folders, changed as a test likes, and running without Cutover. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { AppConfig } from '../../src/core/app-config.ts'
import { parseConfig } from '../../src/core/config.ts'
import { needs } from './packages.ts'
import { type Server, type ServerName, servers } from './servers.ts'

export type ExampleName = ServerName

interface Example extends Server {
  readonly app: string
  readonly port: number
  /** For the `skip` option of a test. */
  readonly skip: string | false
}

const directoryOf = (name: ExampleName): string =>
  fileURLToPath(new URL(`../../examples/${servers[name].folder}`, import.meta.url))

export function example(name: ExampleName): Example {
  const { app, ports } = configOf(name)
  return { ...servers[name], app, port: ports[0]?.port ?? 0, skip: needs(...servers[name].packages) }
}

function configOf(name: ExampleName): AppConfig {
  const file = join(directoryOf(name), servers[name].config)
  return parseConfig(readFileSync(file, 'utf8'), { file, cores: 1 })
}

/** A copy of the example's folder, gone when the test ends. Files in `changes` are written over it: `{VERSION: '7'}`. */
export function exampleFolder(
  t: TestContext,
  name: ExampleName,
  changes: Readonly<Record<string, string>> = {},
): string {
  const directory = mkdtempSync(join(tmpdir(), `cutover-example-${name}-`))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  // As open as folders usually are: some servers read them as another user.
  chmodSync(directory, 0o755)
  cpSync(directoryOf(name), directory, { recursive: true })
  cpSync(join(directoryOf(name), servers[name].config), join(directory, 'cutover.yaml'))
  for (const [file, text] of Object.entries(changes)) writeFileSync(join(directory, file), text)
  return directory
}

/** Starts the example as it is, in a process group of its own that ends with the test, and waits until it accepts connections. */
export async function startExample(t: TestContext, name: ExampleName, release: string): Promise<ChildProcess> {
  const { run, build, env, ports } = configOf(name)
  const home = mkdtempSync(join(tmpdir(), 'cutover-home-'))
  const options = {
    cwd: exampleFolder(t, name),
    env: { PATH: process.env.PATH, HOME: home, ...env, CUTOVER_RELEASE: release },
    stdio: 'ignore',
  } as const
  if (build !== null) execFileSync(build[0] ?? '', build.slice(1), options)
  const child = spawn(run[0] ?? '', run.slice(1), { ...options, detached: true })
  t.after(async () => {
    await endGroup(child)
    rmSync(home, { recursive: true, force: true })
  })
  await untilAccepting(ports[0]?.port ?? 0, () => child.exitCode === null && child.signalCode === null)
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
