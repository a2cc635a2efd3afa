/** Taking files away for good, in trees whose owner may still be at work in them. */
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { chmod, type FileHandle, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { failure } from '../../core/errors.ts'
import { cannot, codeOf, orMissing } from './failures.ts'
import { at, itself, look, openFolder } from './handles.ts'
import { inParallel } from './parallel.ts'

/**
 * Removes a release's directory, or half a copy, and what is kept beside it, in one step for whoever looks: it is renamed, then taken apart.
 * What is `shared` stays, links are never followed. A release that is not there is no error.
 * @throws CutoverError if something of it could not be removed; the rest is, and {@link removeLeftovers} tries again.
 */
export async function removeRelease(directory: string): Promise<void> {
  const doomed = `${directory}${removed}`
  try {
    await removeTree(doomed)
    await removeTree(`${directory}${partial}`)
    await orMissing(rename(directory, doomed))
    await rm(environmentFile(directory), { force: true })
    await removeTree(doomed)
  } catch (error) {
    throw failure(
      `${cannot(`remove ${directory}`, error)}. It is not used any more; what is left of it is in ${doomed}.`,
      { cause: error },
    )
  }
}

/**
 * What a daemon that was killed may have left: half copies and half removed releases. To be called before anything is deployed.
 * @param folders - directories that hold releases of one app each, and the one that holds the apps' shared files.
 * @returns what could not be removed, in words.
 */
export async function removeLeftovers(folders: readonly string[]): Promise<string[]> {
  const problems: string[] = []
  for (const folder of folders) {
    for (const name of (await orMissing(readdir(folder))) ?? []) {
      if (!name.endsWith(partial) && !name.endsWith(removed)) continue
      try {
        await removeTree(join(folder, name))
      } catch (error) {
        problems.push(cannot(`remove ${join(folder, name)}`, error))
      }
    }
  }
  return problems
}

/** What a copy is called until it is whole, and a release once it is given up. No app and no release has such a name. */
export const partial = '.partial'
export const removed = '.removed'

/** The environment that was read for a release: beside its directory, where its user cannot write. */
export const environmentFile = (release: string): string => `${release}.env.json`

/**
 * Removes a tree or a single file. No link is followed, and none can be slipped in on the way: the daemon may be root, and the tree's
 * owner somebody else.
 */
export async function removeTree(path: string): Promise<void> {
  const parent = await orMissing(openFolder(dirname(path)))
  if (!parent) return
  try {
    await removeEntry(parent, basename(path))
  } finally {
    await parent.close()
  }
}

/** Removes what has that name in an open directory, if there is anything. */
export async function removeEntry(parent: FileHandle, name: string): Promise<void> {
  await removeBelow(parent, name, null)
}

/** Where in the tree we are, and where folders that lie too deep are moved to. */
interface Depth {
  readonly top: FileHandle
  readonly depth: number
  /** Told when one was. */
  readonly onLift: () => void
}

/** As many folders of one tree are open at a time. Whoever could write to it can have nested more than descriptors can be open. */
const deepest = 100

async function removeBelow(parent: FileHandle, name: string, above: Depth | null): Promise<void> {
  const seen = await look(parent, name)
  if (!seen) return
  const path = at(parent, name)
  if (!seen.isDirectory()) {
    await orMissing(unlink(path))
    return
  }
  // A directory that its owner made unwritable; root needs no permission, and only root can meet a foreign tree.
  if ((seen.mode & 0o700) !== 0o700 && process.geteuid?.() !== 0) await chmod(path, 0o700)
  if (above?.depth === deepest) {
    await rename(path, at(above.top, randomUUID()))
    above.onLift()
    return
  }
  const folder = await openFolder(path, seen)
  try {
    let lifted = false
    const onLift = () => {
      lifted = true
    }
    do {
      lifted = false
      await removeAllIn(folder, above ? { ...above, depth: above.depth + 1 } : { top: folder, depth: 1, onLift })
    } while (lifted)
  } finally {
    await folder.close()
  }
  await orMissing(rmdir(path))
}

/** Files several at a time; directories one after the other, so that no more are open than the tree is deep. */
async function removeAllIn(folder: FileHandle, depth: Depth): Promise<void> {
  const folders: string[] = []
  await inParallel(await readdir(itself(folder), { withFileTypes: true }), 4, undefined, async (entry) => {
    if (entry.isDirectory()) folders.push(entry.name)
    else await removeBelow(folder, entry.name, depth)
  })
  for (const name of folders) await removeBelow(folder, name, depth)
}

/** Removes a file of the daemon's own, if it is there. */
export const removeFile = (path: string): void => rmSync(path, { force: true })

/** Removes a directory unless something is in it. */
export async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory)
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY'].includes(codeOf(error) ?? '')) throw error
  }
}
