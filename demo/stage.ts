/** Where the demo plays: an app and a home in a temporary folder, and the real commands. All of it is cleared away at the end. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface Stage {
  /** `CUTOVER_HOME` of the demo. */
  readonly home: string
  readonly port: number
  /** Runs a command as if it were typed in the folder, and shows what it prints. Throws if it fails. */
  cutover(...args: string[]): Promise<void>
  /** Ends all of it. */
  clear(): Promise<void>
}

const program = fileURLToPath(new URL('../bin/cutover.js', import.meta.url))
const example = fileURLToPath(new URL('../examples/node', import.meta.url))
const usualPort = 8080

/** Lays a copy of an example app in a new folder, on the first port from 8080 on that is free. */
export async function openStage(): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'cutover-demo-'))
  const home = join(folder, 'home')
  const app = join(folder, 'app')
  cpSync(example, app, { recursive: true })
  const port = await freePort(usualPort)
  for (const file of ['server.mjs', 'cutover.yaml']) {
    const path = join(app, file)
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(String(usualPort), String(port)))
  }

  // Said aloud where whoever runs the demo is root; an app of your own has a user of its own.
  if (process.getuid?.() === 0) appendFileSync(join(app, 'cutover.yaml'), 'user: root\n')

  const run = async (args: readonly string[], shown: boolean): Promise<number | null> => {
    const child = spawn(process.execPath, [program, ...args], {
      cwd: app,
      env: { ...process.env, CUTOVER_HOME: home },
      stdio: ['ignore', shown ? 'pipe' : 'ignore', shown ? 'pipe' : 'ignore'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => console.log(`  ${line}`))
    }
    const [code] = await once(child, 'close')
    return code
  }

  return {
    home,
    port,
    cutover: async (...args) => {
      console.log(`  $ cutover ${args.join(' ')}`)
      const code = await run(args, true)
      if (code !== 0) throw new Error(`cutover ${args[0]} ended with exit code ${code}`)
    },
    clear: async () => {
      const code = await run(['daemon', 'stop', '--all', '--yes'], false)
      if (code !== 0) throw new Error(`the demo's daemon could not be ended; its log: ${join(home, 'daemon.log')}`)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function freePort(first: number): Promise<number> {
  for (let port = first; port < first + 100; port++) if (await isFree(port)) return port
  throw new Error(`no port from ${first} to ${first + 99} is free`)
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '::', () => server.close(() => resolve(true)))
  })
