/** Directories that are there whole or not at all, whatever ends whoever makes them, and that nobody but their owner can change. */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import {
  access,
  chmod,
  constants,
  copyFile,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  utimes,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import process from 'node:process'

/**
 * Makes the directory aside and renames it when it is whole and on the disk. If it is there, it is only marked as wanted: its time of change
 * becomes now.
 * @param proof a file of it: where that is missing the directory is made anew
 * @returns the directory
 */
export async function onceWhole(
  directory: string,
  proof: string,
  make: (aside: string) => Promise<void>,
): Promise<string> {
  if (existsSync(join(directory, proof))) {
    await utimes(directory, new Date(), new Date())
    return directory
  }
  const parent = dirname(directory)
  await mkdir(parent, { recursive: true, mode: 0o755 })
  const aside = `${directory}.${randomUUID().slice(0, 8)}.partial`
  try {
    await make(aside)
    await seal(aside)
    await rm(directory, { recursive: true, force: true })
    await rename(aside, directory)
    await toDisk(parent)
  } catch (error) {
    await rm(aside, { recursive: true, force: true })
    // Somebody else was faster with the same.
    if (!existsSync(join(directory, proof))) throw error
  }
  return directory
}

/** Everything below is readable by all and writable by its owner alone, and on the disk. What may be run is what is no text: Node, and addons. */
export async function seal(path: string): Promise<void> {
  const found = await lstat(path)
  if (found.isSymbolicLink()) return
  if (found.isDirectory()) for (const name of await readdir(path)) await seal(join(path, name))
  await chmod(path, found.isDirectory() || /(^|\/)node$|\.node$/.test(path) ? 0o755 : 0o644)
  await toDisk(path)
}

/**
 * A second name of the file, which costs nothing and outlives the first, if it is ours and only we can change it; else a copy. Programs that
 * run cannot be written to, so that whoever replaces the first has to make a new one.
 */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  const { uid, mode } = await lstat(from)
  const isSafe = uid === process.geteuid?.() && (mode & 0o022) === 0
  const linked =
    isSafe &&
    (await link(from, to).then(
      () => true,
      () => false,
    ))
  if (!linked) await copyFile(from, to, constants.COPYFILE_FICLONE)
}

/** Whether the kernel would run the file: not if its file system is mounted noexec. */
export const mayRun = (file: string): Promise<boolean> =>
  access(file, constants.X_OK).then(
    () => true,
    () => false,
  )

async function toDisk(path: string): Promise<void> {
  await using file = await open(path)
  await file.sync()
}
