/** Removing programs that nobody uses any more. */
import { existsSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { programFolder } from '../../program.ts'

/** Whoever installs a program marks it, and starts it within this time. */
const wantedForMs = 10 * 60_000

/** Removes every program of that home but this one and the Node that runs it. To be called by the one daemon that has the home's lock. */
export async function removeUnusedPrograms(home: string): Promise<void> {
  const folder = join(home, 'program')
  if (!existsSync(folder)) return
  const inUse = [fileURLToPath(programFolder), process.execPath]
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    if (inUse.some((used) => used.startsWith(`${path}/`))) continue
    const { mtimeMs } = await stat(path)
    if (Date.now() - mtimeMs > wantedForMs) await rm(path, { recursive: true, force: true })
  }
}
