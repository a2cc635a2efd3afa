/** Starting a process the way a login shell would, but in a cgroup and a session of its own, writing its log by itself. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, fchownSync, fstatSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import process from 'node:process'
import { failure } from '../core/errors.ts'
import { exhausted } from '../core/exhausted.ts'
import { oomScoreOf } from '../core/oom.ts'
import { insideCgroup } from '../linux/cgroup.ts'
import { withCredentials } from '../linux/credentials.ts'
import { closeDescriptorsOnExec, openDescriptors } from '../linux/descriptors.ts'
import { inheritedOomScore, setOomScores, withOomScore } from '../linux/oom.ts'
import { identify, type ProcessIdentity } from '../linux/process.ts'
import { withSoftLimit } from '../linux/rlimit.ts'
import type { Program, RunAs } from './program.ts'

export interface Surroundings {
  /** The cgroup in which the process is born; it exists. */
  readonly cgroup: string
  readonly directory: string
  /** All of it: nothing of the daemon's own is added. */
  readonly environment: Readonly<Record<string, string>>
  readonly user: RunAs | null
  /** Its stdout and stderr, opened for appending; the user owns it, so that an app may open /dev/stdout. */
  readonly logFile: string
  /** Its `oom_score_adj`, and that of what it starts; not below what this process was started with. */
  readonly oomScore: number
}

export interface Spawned {
  readonly child: ChildProcess
  readonly identity: ProcessIdentity
}

/**
 * Starts the program. It inherits descriptors 0 to 2 only (0 is /dev/null); libuv gives it default signal dispositions and an empty mask.
 * Its umask is 022 and its soft limit of descriptors 1,024 (more only under a daemon that has hundreds open), whatever the daemon's own are.
 * @throws CutoverError `failed` if the kernel refuses.
 */
export async function spawnProgram(program: Program, around: Surroundings): Promise<Spawned> {
  closeDescriptorsOnExec()
  const log = openLog(around.logFile, around.user)
  try {
    const softLimit = Math.max(softDescriptors, openDescriptors() + spareDescriptors)
    const { child, refusal } = withOomScore(bornWith, () =>
      insideCgroup(around.cgroup, () =>
        withSoftLimit('NOFILE', softLimit, () => withUmask(0o022, () => launch(program, around, log))),
      ),
    )
    if (child?.pid === undefined) {
      const [error] = child === null ? [refusal] : await once(child, 'error').catch((error: unknown) => [error])
      throw failure(`${program.file} could not be started: ${explain(error)}.`, { cause: error })
    }
    // It may have ended already, but is not reaped before Node's loop goes on.
    const identity = identify(child.pid)
    if (identity === null) throw failure(`${program.file} (pid ${child.pid}) was reaped by somebody else`)
    if (around.oomScore !== bornWith) setOomScores(around.cgroup, around.oomScore)
    return { child, identity }
  } finally {
    closeSync(log)
  }
}

/** As low as that of an active release, but not higher: we have it ourselves while we fork, which takes memory. */
const bornWith = oomScoreOf('active', inheritedOomScore)

/** What a login shell has; the hard limit stays, so that an app may raise its own. */
const softDescriptors = 1024

/**
 * The limit holds for the daemon too while it forks, which takes descriptors, and its other threads may be copying files. It cannot be
 * lowered in the child: before execve(2) only libuv runs there, and after it the app may have read or raised it already.
 */
const spareDescriptors = 256

/** Node throws some refusals of the kernel (E2BIG, for example) and makes events of others, which leave a child without a pid. */
function launch({ file, args, argv0, credentials }: Program, { directory, environment }: Surroundings, log: number) {
  try {
    const child = withCredentials(credentials, (as) =>
      spawn(file, args, {
        ...as,
        argv0,
        cwd: directory,
        env: { ...addedByNode, ...environment },
        detached: true,
        stdio: ['ignore', log, log],
      }),
    )
    return { child, refusal: null }
  } catch (error) {
    return { child: null, refusal: error }
  }
}

/** What Node hands on from its own environment unasked, unless it is there. */
const addedByNode = { NODE_V8_COVERAGE: undefined }

function openLog(file: string, user: RunAs | null): number {
  mkdirSync(dirname(file), { recursive: true })
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants
  const log = openSync(file, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o640)
  if (user !== null && user.uid !== process.getuid?.() && fstatSync(log).isFile()) fchownSync(log, user.uid, user.gid)
  return log
}

function withUmask<T>(mask: number, act: () => T): T {
  const before = process.umask(mask)
  try {
    return act()
  } finally {
    process.umask(before)
  }
}

function explain(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return reasons[code] ?? exhausted(error) ?? (error instanceof Error ? error.message : String(error))
}

/** By errno of execve(2) and fork(2); the program itself was found before. */
const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'its interpreter (the first line of a script) or loader does not exist',
  EACCES: 'permission denied',
  E2BIG: 'its arguments and environment, or a single one of them, are too long',
  ETXTBSY: 'the file is open for writing',
}
