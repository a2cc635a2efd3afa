/** Checkouts of this very source, for tests that change or delete one: what runs from it, runs from there. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

export interface Checkout {
  readonly directory: string
  /** The Node of its own `node_modules`, and the program that people start. */
  readonly command: readonly [string, string]
  /** As somebody edits it: from here on it is another version. With a file below src and a text of it, that becomes another one. */
  change(file?: string, from?: string, to?: string): void
  remove(): void
}

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A copy of the source and of all that is installed, gone when the test ends. An ordinary user, who may not link to it, has that where it is. */
export function checkout(t: Pick<TestContext, 'after'>): Checkout {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-checkout-'))
  const remove = () => rmSync(directory, { recursive: true, force: true })
  t.after(remove)
  for (const name of ['bin', 'bpf', 'src', 'package.json', 'package-lock.json'])
    cpSync(join(root, name), join(directory, name), { recursive: true })
  const modules = realpathSync(join(root, 'node_modules'))
  // Second names where the file system allows: it is much, and nobody writes to it.
  const copy = (...options: string[]) => execFileSync('cp', [...options, modules, join(directory, 'node_modules')])
  if (process.getuid?.() !== 0) symlinkSync(modules, join(directory, 'node_modules'))
  else
    try {
      copy('-al')
    } catch {
      rmSync(join(directory, 'node_modules'), { recursive: true, force: true })
      copy('-a')
    }
  const node = join(directory, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node')
  return {
    directory,
    command: [node, join(directory, 'bin', 'cutover.js')],
    change: (file = 'program.ts', from = '', to = '// changed\n') => {
      const path = join(directory, 'src', file)
      const before = readFileSync(path, 'utf8')
      assert.ok(before.includes(from), `${file} has no ${from}`)
      writeFileSync(
        path,
        before.replace(from, () => to),
      )
    },
    remove,
  }
}
