/**
 * Opening what lies in a folder that belongs to somebody else. The daemon may be root and the folder's owner may exchange a file for a
 * symbolic link at any moment, so nothing is ever followed: a directory is held open, and what is in it is named through
 * `/proc/self/fd/N/` (proc_pid_fd(5)), which is what openat(2) does, and which Node does not offer.
 */
import { constants } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { changedMeanwhile, codeOf } from './failures.ts'

/** Which file it is, whatever its name. */
export interface Identity {
  readonly dev: number
  readonly ino: number
}

export const same = (a: Identity, b: Identity): boolean => a.dev === b.dev && a.ino === b.ino

/** The name of an entry of an open directory. `name` is one component; the directory's path may have changed since. */
export const at = (folder: FileHandle, name: string): string => `/proc/self/fd/${folder.fd}/${name}`

/** The open directory or file itself, as a path for the calls that take only paths. */
export const itself = (handle: FileHandle): string => `/proc/self/fd/${handle.fd}`

/**
 * Opens a directory, and makes sure that it is the one that was seen before, if an identity is given: then it does not matter which
 * links the way to it went through.
 * @throws CutoverError if it is another one; errors of the file system as they are (ENOTDIR for a symbolic link).
 */
export async function openFolder(path: string, seen: Identity | null = null): Promise<FileHandle> {
  const folder = await openUnfollowed(path, constants.O_RDONLY | constants.O_DIRECTORY)
  if (seen && !same(await folder.stat(), seen)) {
    await folder.close()
    throw changedMeanwhile(path)
  }
  return folder
}

/** Opens a file to be read; a fifo does not make it wait. */
export const openToRead = (path: string): Promise<FileHandle> =>
  openUnfollowed(path, constants.O_RDONLY | constants.O_NONBLOCK)

/**
 * Goes down from an open directory, component by component. null where a directory is missing or where there is something else in its
 * place, a symbolic link included. The caller closes what it gets; `from` stays open.
 */
export async function descend(from: FileHandle, components: readonly string[]): Promise<FileHandle | null> {
  let here = await openFolder(itselfAsFolder(from))
  for (const component of components) {
    try {
      const next = await openFolder(at(here, component))
      await here.close()
      here = next
    } catch (error) {
      await here.close()
      if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(codeOf(error) ?? '')) return null
      throw error
    }
  }
  return here
}

/** What an entry is, links not followed; null if there is none. */
export async function look(folder: FileHandle, name: string) {
  try {
    return await lstat(at(folder, name))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

const openUnfollowed = (path: string, flags: number) => open(path, flags | constants.O_NOFOLLOW)

/** With O_NOFOLLOW the entry in /proc/self/fd itself would be the link that is not followed; its `.` is not one. */
const itselfAsFolder = (handle: FileHandle) => at(handle, '.')
