/** An engine in the test's own process, over a home of its own; with other parts, where a test is about what may fail. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import type { Receipt } from '../../src/core/documents.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { openEngine } from '../../src/engine/open.ts'
import { type Parts, parts } from '../../src/engine/parts.ts'
import { cgroupRoot } from '../../src/linux/cgroup.ts'
import { openHome } from '../../src/store/home.ts'

export const by = { uid: 0, name: 'ann', from: null }
export const log = { info() {}, warn() {}, error() {} }

export interface InProcess {
  readonly engine: Engine
  /** Cutover's own cgroup. */
  readonly cgroup: string
  deploy(directory: string): Promise<Receipt>
}

/** A home for an engine, and its cgroup. */
export function engineHome(): { readonly home: string; readonly cgroup: string } {
  const home = mkdtempSync(join(tmpdir(), 'cutover-engine-'))
  chmodSync(home, 0o755)
  return { home, cgroup: join(cgroupRoot(), `cutover-${openHome(home).id}`) }
}

/** Everything that it runs ends with the test, and its home goes. */
export async function inProcess(t: TestContext, made: Parts = parts, place = engineHome()): Promise<InProcess> {
  const engine = await openEngine({ home: place.home, log }, made)
  t.after(async () => {
    await engine.shutdown(by)
    engine.close()
    rmSync(place.home, { recursive: true })
  })
  const { signal } = new AbortController()
  return {
    engine,
    cgroup: place.cgroup,
    deploy: (directory) => engine.deploy({ directory, path: process.env.PATH ?? '' }, by, () => {}, signal),
  }
}
