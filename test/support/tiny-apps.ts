/** Many apps that hardly do anything, and what a daemon takes that looks after them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { stringify } from 'yaml'
import type { TestNode } from './node.ts'

const firstPort = 8100

/** Deploys apps `tiny-1`, `tiny-2`, …, one after another. */
export async function deployTinyApps(t: Pick<TestContext, 'after'>, node: TestNode, count: number): Promise<void> {
  for (let i = 1; i <= count; i++) {
    const folder = mkdtempSync(join(tmpdir(), 'cutover-tiny-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const port = firstPort + i
    const config = { app: `tiny-${i}`, run: `python3 -m http.server ${port}`, port }
    writeFileSync(join(folder, 'cutover.yaml'), stringify(config))
    await node.deploy(folder)
  }
}

/** In MB: all that is in memory of a process, and what of it no other process has. See proc_pid_smaps(5). */
export function memoryOf(pid: number): { readonly resident: number; readonly private: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const megabytes = (field: string) =>
    (Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]) * 1024) / 1e6
  return { resident: megabytes('Rss'), private: megabytes('Private_Clean') + megabytes('Private_Dirty') }
}

/** How long a process was on a processor since its start, in seconds; counted in hundredths. See proc_pid_stat(5). */
export function processorTimeOf(pid: number): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')
  const [user, system] = fields.split(' ').slice(11, 13)
  return (Number(user) + Number(system)) / 100
}
