/** `env_file`: read when a release is made, and kept with it where only the daemon can read it. */
import type { Stats } from 'node:fs'
import { type FileHandle, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { failure } from '../../core/errors.ts'
import type { Owner } from './copy-tree.ts'
import { cannot, orMissing } from './failures.ts'
import { itself } from './handles.ts'
import { isOpenToAll, mayRead, type Readers, readersOf } from './privacy.ts'
import { environmentFile, partial } from './remove.ts'
import { openFile, textOf } from './small-file.ts'

export type Environment = Readonly<Record<string, string>>

export interface EnvFilesRequest {
  /** The app's folder, absolute: what the paths are relative to. */
  readonly folder: string
  /** The uid that the folder belonged to when it was decided whose the app is. */
  readonly folderOwner: number
  readonly files: readonly string[]
  /** null: whoever runs the daemon. */
  readonly user: Owner | null
}

/**
 * What the files say, the last one winning; the syntax is that of `util.parseEnv`.
 * A daemon that is root reads only what the app's user or the folder's owner could be meant to have: files of theirs, files their group
 * may read, and files open to all. Else whoever writes `cutover.yaml` could have any file of the machine read to them.
 * @throws CutoverError if one cannot be read, is larger than 1 MB, or is not theirs.
 */
export async function readEnvFiles({ folder, folderOwner, files, user }: EnvFilesRequest): Promise<Environment> {
  const readers = await readersOf(folderOwner, user?.uid ?? null)
  const all: Record<string, string> = {}
  for (const name of files) {
    const path = resolve(folder, name)
    try {
      const text = await readTheirs(path, readers)
      const line = lineWithout(text)
      if (line !== null) throw new Error(`line ${line} is neither NAME=value nor a comment`)
      Object.assign(all, parseEnv(text))
    } catch (error) {
      throw failure(`The env_file ${name} could not be used: ${cannot(`read ${path}`, error)}. Nothing was started.`, {
        cause: error,
      })
    }
  }
  return all
}

/** Keeps what was read for a release, 0600, in one step. {@link removeRelease} takes it away with the release. */
export async function keepEnvironment(release: string, environment: Environment): Promise<void> {
  const file = environmentFile(release)
  const draft = `${file}${partial}`
  try {
    await rm(draft, { force: true })
    await writeFile(draft, JSON.stringify(environment), { mode: 0o600, flag: 'wx' })
    await rename(draft, file)
  } catch (error) {
    await Promise.allSettled([rm(draft, { force: true })])
    throw failure(`${cannot(`write ${file}`, error)}. Nothing was started.`, { cause: error })
  }
}

/** What was kept for a release; nothing if nothing was. */
export async function keptEnvironment(release: string): Promise<Environment> {
  const file = environmentFile(release)
  const text = await orMissing(readFile(file, 'utf8'))
  try {
    return text === null ? {} : (JSON.parse(text) as Environment)
  } catch {
    // What JSON.parse says has a piece of the text in it.
    throw failure(
      `${file}, which holds what the env_file of the release held, is damaged. A new deploy writes its own.`,
    )
  }
}

const largest = 1_000_000

async function readTheirs(path: string, readers: Readers | null): Promise<string> {
  // Links are followed, since it is the file that was opened whose owner counts.
  await using file = await openFile(path)
  const seen = await file.stat()
  if (!(await areAllowed(readers, file, seen)))
    throw new Error(
      `it belongs to uid ${seen.uid}, and neither the folder's owner nor the app's user may have it; chown it`,
    )
  return await textOf(file, largest)
}

/** What is open to all counts only where everybody can get to it: the path may lead anywhere. */
async function areAllowed(readers: Readers | null, file: FileHandle, seen: Stats): Promise<boolean> {
  if (!mayRead(readers, seen)) return false
  if (readers === null || mayRead(readers, { ...seen, mode: seen.mode & ~0o004 })) return true
  return await isOpenToAll(dirname(await realpath(itself(file))))
}

/**
 * The first line, counted from 1, that `util.parseEnv` would pass over without a word, or null. It has to be told without its text, which is
 * as secret as the others. A value in quotes may go on over lines.
 */
function lineWithout(text: string): number | null {
  const lines = text.split('\n')
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]?.trim() ?? ''
    if (line === '' || line.startsWith('#')) continue
    const value = /^(?:export\s+)?[A-Za-z_][A-Za-z0-9_.-]*\s*=\s*([^\0]*)$/.exec(line)?.[1]
    if (value === undefined) return at + 1
    const quote = value[0] ?? ''
    if (!['"', "'", '`'].includes(quote) || value.includes(quote, 1)) continue
    const end = lines.findIndex((later, index) => index > at && later.includes(quote))
    // Without an end the quote is part of a value of one line.
    if (end === -1) continue
    if (lines.slice(at, end + 1).some((part) => part.includes('\0'))) return at + 1
    at = end
  }
  return null
}
