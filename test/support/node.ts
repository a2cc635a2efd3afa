/** A whole node for system tests: a real daemon in this test's namespace, and what people do to it. Nothing of it is left afterwards. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { type Client, createClient } from '../../src/client/client.ts'
import type { Progress, Receipt, Status } from '../../src/core/documents.ts'
import { startInBackground } from '../../src/daemon/autostart.ts'
import { type Place, placeAt } from '../../src/daemon/place.ts'
import { enclosureNamed, isCgroup, pidsIn } from '../../src/linux/enclosure.ts'
import { identify, isAlive, type ProcessIdentity, sendSignal } from '../../src/linux/process.ts'
import { openHome } from '../../src/store/home.ts'
import { eventually } from './workspace.ts'

export interface TestNode {
  readonly place: Place
  readonly client: Client
  /** Cutover's own cgroup on this node, or what stands in for one. */
  readonly cgroup: string
  /** Deploys the folder; every step is told to `onProgress`. */
  deploy(directory: string, onProgress?: (progress: Progress) => void, interrupt?: AbortSignal): Promise<Receipt>
  rollback(app: string, options?: { readonly to?: number; readonly from?: number }): Promise<Receipt>
  operate(kind: 'restart' | 'stop' | 'start' | 'remove', app: string): Promise<Receipt>
  app(name: string): Promise<Status['apps'][number]>
  /** The daemon's process, if one lives. */
  daemon(): ProcessIdentity | null
  /** `kill -9` of the daemon; resolves when it is gone. */
  killDaemon(): Promise<void>
  /** Waits until nothing of the app is draining or retiring. */
  settled(app: string): Promise<Status['apps'][number]>
}

/**
 * Starts a daemon with a home of its own. When the test ends all of it is ended, and the test fails if anything was left.
 * `daemon`: another command than its own, to watch it at work, or another way to start it. `under`: the directory in which its home is made.
 */
export async function startNode(
  t: Pick<TestContext, 'after'>,
  daemon?: readonly string[] | ((place: Place) => Promise<unknown>),
  under = tmpdir(),
): Promise<TestNode> {
  const home = mkdtempSync(join(under, 'cutover-node-'))
  chmodSync(home, 0o755)
  const place = placeAt(home)
  const client = createClient({ place, start: startInBackground })
  const cgroup = enclosureNamed(`cutover-${openHome(home).id}`)
  t.after(async () => {
    await client.stopDaemon(true)
    assert.deepEqual(leftovers(home, cgroup), [])
    await eventually(() => leftoversOfDaemon(place).length === 0)
    rmSync(home, { recursive: true, force: true })
  })
  if (typeof daemon === 'function') await daemon(place)
  else await startInBackground(place, daemon)

  const node: TestNode = {
    place,
    client,
    cgroup,
    deploy: (directory, onProgress = () => {}, interrupt) =>
      client.operate(
        { kind: 'deploy', directory, path: process.env.PATH ?? '' },
        { onProgress, ...(interrupt && { interrupt }) },
      ),
    rollback: (app, options = {}) => client.operate({ kind: 'rollback', app, ...options }, { onProgress: () => {} }),
    operate: (kind, app) => client.operate({ kind, app }, { onProgress: () => {} }),
    app: async (name) => {
      const { apps } = await client.status(name)
      assert.ok(apps[0])
      return apps[0]
    },
    daemon: () => {
      const found = identify(Number(readFileSync(place.lock, 'utf8')))
      return found !== null && isAlive(found) ? found : null
    },
    killDaemon: async () => {
      const daemon = node.daemon()
      assert.ok(daemon)
      sendSignal(daemon, 'SIGKILL')
      await eventually(() => !isAlive(daemon))
    },
    settled: async (app) => {
      for (;;) {
        const status = await node.app(app)
        if (!status.releases.some(({ state }) => state === 'draining' || state === 'retiring')) return status
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    },
  }
  return node
}

/** What a node must not leave behind, in words. */
export function leftovers(home: string, cgroup: string): string[] {
  const left: string[] = []
  if (pidsIn(cgroup).length > 0) left.push(`processes ${pidsIn(cgroup).join(', ')}`)
  if (isCgroup(cgroup) && existsSync(cgroup)) left.push(`the cgroup ${cgroup}`)
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
  if (mounts.includes(` ${home}/`)) left.push('something mounted')
  if (existsSync(join(home, 'bpf'))) left.push('the directory of its bpffs')
  const pins = join('/sys/fs/bpf', basename(cgroup))
  if (existsSync(pins)) left.push(`the pins ${pins}`)
  return left
}

/** What is left besides when the daemon has ended too. */
export function leftoversOfDaemon({ home, socket }: Place): string[] {
  const left = existsSync(socket) ? ['its socket'] : []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const path = programOf(pid)
    if (path?.startsWith(`${home}/`)) left.push(`process ${pid}, which runs ${path}`)
  }
  return left
}

function programOf(pid: string): string | null {
  try {
    return readlinkSync(`/proc/${pid}/exe`)
  } catch {
    return null
  }
}
