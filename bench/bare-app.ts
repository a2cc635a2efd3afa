/** The Node example without Cutover, on another port, as the peer that a figure is compared with. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { endGroup, exampleFolder } from '../test/support/examples.ts'
import type { Scope } from './figures.ts'

export const barePort = 8090

/** A folder with the example on {@link barePort}. */
export function bareFolder(scope: Scope): string {
  const folder = exampleFolder(scope, 'node')
  const file = join(folder, 'server.mjs')
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll('8080', String(barePort)))
  return folder
}

/** Starts it. It says that it listens as soon as it does: `listensMs` after it was spawned. */
export async function startBare(
  scope: Scope,
  folder: string,
): Promise<{ readonly child: ChildProcess; readonly listensMs: number }> {
  const began = performance.now()
  const child = spawn('node', ['server.mjs'], {
    cwd: folder,
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  scope.after(() => endGroup(child))
  await once(child.stdout, 'data')
  return { child, listensMs: performance.now() - began }
}
