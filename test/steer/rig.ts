/** Steering for one test, and apps on puppet strings. Nothing of it is left afterwards. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createCgroup, insideCgroup } from '../../src/linux/cgroup.ts'
import { mountBpffs, unmount } from '../../src/linux/mounts.ts'
import { openSteering, type Steering, type SteeringOptions } from '../../src/strategies/steer/steering.ts'
import { temporaryCgroup } from '../support/workspace.ts'

export interface Rig {
  readonly steering: Steering
  readonly options: SteeringOptions
  /** Starts a puppet as a worker of the release, which is added if it is not there; release 0: outside of all releases. */
  puppet(release: number, options?: { readonly worker?: number; readonly app?: number }): Promise<Puppet>
}

/** The app of most tests, and how long it is held. */
export const app = 1
export const holdMs = 60_000

/** Steering in this test's namespace. `ports` are those that the app declares. */
export function rig(t: TestContext, ports: readonly number[], hold = holdMs): Rig {
  const bpffs = mkdtempSync(join(tmpdir(), 'cutover-bpf-'))
  mountBpffs(bpffs)
  let steering: Steering | null = null
  t.after(() => {
    steering?.destroy()
    unmount(bpffs)
    rmdirSync(bpffs)
  })
  const cgroup = temporaryCgroup(t)
  const options = { pins: join(bpffs, 'cutover'), cgroup: join(cgroup, 'cutover') }
  const opened = openSteering(options)
  steering = opened
  opened.addApp(app, { ports, holdMs: hold })

  return {
    steering: opened,
    options,
    puppet: async (release, { worker = 1, app: of = app } = {}) => {
      if (release === 0) return startPuppet(t, [])
      const home = join(cgroup, `app${of}-v${release}`)
      const inside = join(home, `w${worker}`)
      createCgroup(inside)
      const isThere = opened.releases().some((one) => one.app === of && one.release === release)
      if (!isThere) opened.addRelease({ app: of, release }, home)
      return insideCgroup(inside, () => startPuppet(t, []))
    },
  }
}

export interface Puppet {
  readonly pid: number
  /** Has the puppet do something: a command of fixtures/puppet.py. */
  do(command: string, options?: Readonly<Record<string, unknown>>): Promise<unknown>
  /** Opens a listening socket that answers with this text; `ok`, or the errno's name. */
  listens(text: string, port: number, options?: Readonly<Record<string, unknown>>): Promise<unknown>
  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<void>
}

const script = fileURLToPath(import.meta.resolve('./fixtures/puppet.py'))

/** `wrapper`: a command that runs it, as `nsenter`. */
export async function startPuppet(t: TestContext, wrapper: readonly string[]): Promise<Puppet> {
  const [program = 'python3', ...args] = [...wrapper, 'python3', script]
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], detached: true })
  const ended = once(child, 'exit')
  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  t.after(kill)
  const waiting: ((answer: unknown) => void)[] = []
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(JSON.parse(line)))
  child.stdin.on('error', () => {})
  let opened = 0
  const puppet: Puppet = {
    pid: child.pid ?? 0,
    do: (command, options = {}) =>
      Promise.race([
        new Promise<unknown>((resolve) => {
          waiting.push(resolve)
          child.stdin.write(`${JSON.stringify([command, options])}\n`)
        }),
        ended.then(() => 'ended'),
      ]),
    listens: async (text, port, { calls = [], threads = 1, ...options } = {}) => {
      const id = `of ${++opened}`
      const result = await puppet.do('open', { id, address: '0.0.0.0', port, backlog: 200, ...options })
      if (result === 'ok') await puppet.do('answer', { id, text, calls, threads })
      return result
    },
    kill,
  }
  return puppet
}

/** What a client of its own connection gets: the answer, or how it failed, as `ECONNREFUSED`, `ECONNRESET`, `EOF`, `ETIMEDOUT`. */
export function ask(port: number, address = '127.0.0.1', timeoutMs = 10_000): Promise<string> {
  return fateOf(connect({ host: address, port }), timeoutMs)
}

/** Sends a byte on a connection, or on one that is being made, and tells what comes. */
export function fateOf(socket: ReturnType<typeof connect>, timeoutMs = 10_000): Promise<string> {
  return new Promise((resolve) => {
    const end = (fate: string) => {
      socket.destroy()
      resolve(fate)
    }
    socket.setTimeout(timeoutMs, () => end('ETIMEDOUT'))
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
    socket.once('data', (bytes) => end(String(bytes)))
    socket.once('end', () => end('EOF'))
    socket.once('close', () => end('EOF'))
    socket.write('?')
  })
}

/** How often each text was among them. */
export function tally(texts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of texts) counts[text] = (counts[text] ?? 0) + 1
  return counts
}

/** The same, so many times one after another. */
export async function repeat<T>(times: number, act: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  for (let index = 0; index < times; index++) results.push(await act(index))
  return results
}
