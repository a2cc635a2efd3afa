/** Folders for tests: an app's folder made from a few words, and a home to deploy it to. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import type { CopyRequest } from '../../src/store/files/copy.ts'

/** Text for a file, `-> text` for a symbolic link, `null` for a folder; by path. */
export type Tree = Readonly<Record<string, string | null>>

export function make(root: string, tree: Tree): void {
  for (const [path, content] of Object.entries(tree)) {
    const place = join(root, path)
    mkdirSync(content === null ? place : dirname(place), { recursive: true })
    if (content?.startsWith('-> ')) symlinkSync(content.slice(3), place)
    else if (content !== null) writeFileSync(place, content)
  }
}

/** A place that everybody may enter, removed when the test ends. */
export function place(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'cutover-files-'))
  t.after(() => {
    execFileSync('chmod', ['-R', 'u+rwX', root])
    rmSync(root, { recursive: true, force: true })
  })
  chmodSync(root, 0o755)
  return root
}

/** An app called shop, and the request to copy it as v1 into a home beside it. */
export function shop(t: TestContext, tree: Tree, root = place(t)): CopyRequest & { readonly root: string } {
  const from = join(root, 'shop')
  const home = join(root, 'home')
  mkdirSync(from, { recursive: true })
  mkdirSync(home, { recursive: true })
  make(from, tree)
  return {
    root,
    from,
    folderOwner: null,
    home,
    to: join(home, 'releases', 'shop', 'v1'),
    sharedRoot: join(home, 'shared', 'shop'),
    ignore: [],
    shared: [],
    envFiles: [],
    hasBuild: false,
    user: null,
  }
}

/** Every path below, sorted, links not followed; a folder ends with a slash. */
export const everything = (root: string, below = ''): string[] =>
  readdirSync(join(root, below), { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(below, entry.name)
      return entry.isDirectory() ? [`${path}/`, ...everything(root, path)] : [path]
    })
    .sort()
