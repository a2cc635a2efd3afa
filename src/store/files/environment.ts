/** `env_file`: read when a release is made, and kept with it where only the daemon can read it. */
import { constants, type Stats } from 'node:fs'
import { type FileHandle, open, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { failure } from '../../core/errors.ts'
import type { Owner } from './copy-tree.ts'
import { cannot, orMissing } from './failures.ts'
import { itself } from './handles.ts'
import { isOpenToAll } from './privacy.ts'
import { environmentFile, partial } from './remove.ts'

export type Environment = Readonly<Record<string, string>>

export interface EnvFilesRequest {
  /** The app's folder, absolute: what the paths are relative to. */
  readonly folder: string
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
export async function readEnvFiles({ folder, files, user }: EnvFilesRequest): Promise<Environment> {
  const all: Record<string, string> = {}
  for (const name of files) {
    const path = resolve(folder, name)
    try {
      Object.assign(all, parseEnv(await readTheirs(path, folder, user)))
    } catch (error) {
      throw failure(`The env_file ${name} could not be used: ${cannot(`read ${path}`, error)}. Nothing was started.`, {
        cause: error,
      })
    }
  }
  const odd = Object.keys(all).find((key) => key.includes('\0') || all[key]?.includes('\0'))
  if (odd !== undefined)
    throw failure(
      `The variable ${JSON.stringify(odd)} of an env_file holds a zero byte, which no process can be given.`,
    )
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
  const text = await orMissing(readFile(environmentFile(release), 'utf8'))
  return text === null ? {} : (JSON.parse(text) as Environment)
}

const largest = 1_000_000

async function readTheirs(path: string, folder: string, user: Owner | null): Promise<string> {
  // Links are followed, since it is the file that was opened whose owner counts.
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const seen = await file.stat()
  if (!seen.isFile()) throw new Error('it is not a file')
  if (seen.size > largest) throw new Error('it is larger than 1 MB')
  if (process.geteuid?.() === 0 && !(await isTheirs(file, seen, folder, user)))
    throw new Error(
      `it belongs to uid ${seen.uid}, and neither the folder's owner nor the app's user may have it; chown it`,
    )
  return await readFile(file, 'utf8')
}

async function isTheirs(file: FileHandle, seen: Stats, folder: string, user: Owner | null): Promise<boolean> {
  const owner = await stat(folder)
  if (owner.uid === 0 || seen.uid === owner.uid || seen.uid === user?.uid) return true
  if (seen.gid === user?.gid && (seen.mode & 0o040) !== 0) return true
  return (seen.mode & 0o004) !== 0 && (await isOpenToAll(dirname(await realpath(itself(file)))))
}
