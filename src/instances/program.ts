/** Finding what a command names, before anything is started: so that the error says what was looked for, where, and by whom. */
import { execFile } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { resolve } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { failure } from '../core/errors.ts'
import { type Credentials, withCredentials } from '../linux/credentials.ts'
import { closeDescriptorsOnExec } from '../linux/descriptors.ts'
import { groupsOf } from '../linux/groups.ts'

/** The user that runs something of an app. */
export interface RunAs {
  readonly uid: number
  readonly gid: number
  /** All digits if no user of this machine has the uid. */
  readonly name: string
}

/** What execve(2) gets, and as whom. */
export interface Program {
  readonly file: string
  /** The name by which the program is told to have been called. */
  readonly argv0: string
  readonly args: readonly string[]
  /** null: our own. */
  readonly credentials: Credentials | null
}

/**
 * The program of a command, as a shell would find it: by PATH, or relative to the directory if its name has a slash.
 * @param user null, or our own uid: runs as we do
 * @throws CutoverError `failed`: the directory or the program is missing, no executable file, or closed to the user.
 */
export async function findProgram(request: {
  readonly command: readonly string[]
  readonly directory: string
  readonly path: string
  readonly user: RunAs | null
}): Promise<Program> {
  const { command, directory, path, user } = request
  const [name = '', ...args] = command
  if (!isDirectory(directory)) throw failure(`The directory ${directory} does not exist. Nothing was started.`)
  const file = search(name, directory, path)
  if (user === null || user.uid === process.getuid?.()) return { file, argv0: name, args, credentials: null }
  if (process.getuid?.() !== 0)
    throw failure(`Only a daemon that runs as root can start programs as user ${user.name}. Nothing was started.`)
  const credentials = { uid: user.uid, gid: user.gid, groups: await groupsOf(user) }
  await mayRun(credentials, user, directory, resolve(directory, file))
  return { file, argv0: name, args, credentials }
}

/** A name with a slash stays as it was written, as in a shell: scripts see it as their own name. */
function search(name: string, directory: string, path: string): string {
  const byPath = !name.includes('/')
  const places = byPath ? path.split(':').map((place) => resolve(directory, place, name)) : [resolve(directory, name)]
  const files = places.filter(isFile)
  const found = files.find(isExecutable)
  if (found !== undefined) return byPath ? found : name
  const where = byPath ? `in PATH, which is ${path || 'empty'}` : `at ${places[0]}`
  throw failure(
    files.length > 0
      ? `The program ${files[0]} is not executable. Nothing was started. Run: chmod +x ${files[0]}`
      : `The program "${name}" was not found ${where}. Nothing was started.`,
  )
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false

const isFile = (path: string): boolean => orFalse(() => statSync(path).isFile())

const isExecutable = (path: string): boolean =>
  orFalse(() => {
    accessSync(path, constants.X_OK)
    return true
  })

/** Any failure to look means that there is nothing to run: ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG. */
function orFalse(look: () => boolean): boolean {
  try {
    return look()
  } catch {
    return false
  }
}

const closedDirectory = 81
const closedProgram = 82

/** Asks as that user, because only the kernel knows: root may enter what the user may not (a Node below /root, for example). */
async function mayRun(credentials: Credentials, user: RunAs, directory: string, file: string): Promise<void> {
  const script = `test -r "$1" -a -x "$1" || exit ${closedDirectory}; test -x "$2" || exit ${closedProgram}`
  const args = ['-c', script, 'sh', directory, file]
  closeDescriptorsOnExec()
  try {
    // Nothing of our own environment either: the user can read that of its processes.
    await withCredentials(credentials, (as) => run('/bin/sh', args, { ...as, cwd: '/', env: {}, timeout: 10_000 }))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    if (code === closedDirectory)
      throw failure(`The user ${user.name} may not read the directory ${directory}. Nothing was started.`)
    if (code === closedProgram)
      throw failure(`The user ${user.name} may not run ${file} (see: namei -l ${file}). Nothing was started.`)
    const reason = error instanceof Error ? error.message : String(error)
    throw failure(`Becoming the user ${user.name} failed: ${reason}. Nothing was started.`, { cause: error })
  }
}

const run = promisify(execFile)
