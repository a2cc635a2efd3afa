/** Daemons for tests, each in a home of its own that is gone afterwards. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Client, createClient } from '../../src/client/client.ts'
import { type Daemon, startDaemon } from '../../src/daemon/daemon.ts'
import { type Place, placeAt } from '../../src/daemon/place.ts'
import { lockFile } from '../../src/linux/flock.ts'
import { identify, isAlive, sendSignal } from '../../src/linux/process.ts'
import { ownVersion } from '../../src/program.ts'
import { createSmallEngine, type SmallEngine } from './small-engine.ts'

const silent = { info() {}, warn() {}, error() {} }
const program = fileURLToPath(new URL('./small-daemon.ts', import.meta.url))

/** The command of a daemon process around an engine in memory. */
export const smallDaemon: readonly string[] = [process.execPath, program]

/** An empty home; `depth` folders deeper for a long path. */
export function temporaryHome(t: TestContext, depth = 0): Place {
  const home = mkdtempSync(join(tmpdir(), 'cutover-home-'))
  const place = placeAt(join(home, ...Array<string>(depth).fill('a-folder-with-a-name')))
  t.after(async () => {
    await endDaemonOf(place)
    rmSync(home, { recursive: true, force: true })
  })
  return place
}

/** Ends the process of a daemon that somebody started there in the background. */
async function endDaemonOf({ lock }: Place): Promise<void> {
  if (!existsSync(lock)) return
  using unlocked = lockFile(lock)
  const pid = Number(readFileSync(lock, 'utf8'))
  const daemon = identify(pid)
  // Who has the lock has written its pid into it: only then is it surely that process.
  if (unlocked || daemon === null || pid === process.pid) return
  sendSignal(daemon, 'SIGKILL')
  while (isAlive(daemon)) await sleep(10)
}

/** A daemon in this process, and a client of it. */
export async function daemonHere(
  t: TestContext,
  place = temporaryHome(t),
): Promise<{ daemon: Daemon; engine: SmallEngine; client: Client; place: Place }> {
  const engine = createSmallEngine()
  const daemon = await startDaemon({ place, version: ownVersion(), log: silent, open: async () => engine })
  t.after(() => daemon.leave())
  return { daemon, engine, client: createClient({ place, start: null }), place }
}

/** A daemon in a process of its own; resolves when it answers. */
export async function daemonProcess(
  t: TestContext,
  place = temporaryHome(t),
): Promise<{ child: ChildProcess; place: Place }> {
  const [node = '', ...args] = smallDaemon
  const child = spawn(node, [...args, '--ready-fd', '3'], {
    env: { ...process.env, CUTOVER_HOME: place.home },
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  const pipe = child.stdio[3]
  if (!pipe) throw new Error('there is no pipe')
  await once(pipe, 'data')
  return { child, place }
}
