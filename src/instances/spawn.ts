/** Starting a process the way a login shell would, but in a cgroup and a session of its own, writing its log by itself. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, fchownSync, fstatSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import process from 'node:process'
import { failure } from '../core/errors.ts'
import { exhausted } from '../core/exhausted.ts'
import { oomScoreOf } from '../core/oom.ts'
import { withCredentials } from '../linux/credentials.ts'
import { closeDescriptorsOnExec, openDescriptors } from '../linux/descriptors.ts'
import { bornIn, isLedBy } from '../linux/enclosure.ts'
import { inheritedOomScore, setOomScores, withOomScore } from '../linux/oom.ts'
import { identify, type ProcessIdentity } from '../linux/process.ts'
import { withSoftLimit } from '../linux/rlimit.ts'
import type { Program, RunAs } from './program.ts'

export interface Surroundings {
  /** The cgroup, or what stands in for one, in which the process is born; it exists. */
  readonly cgroup: string
  readonly directory: string
  /** All of it: nothing of the daemon's own is added. */
  readonly environment: Readonly<Record<string, string>>
  readonly user: RunAs | null
  /** Its stdout and stderr, opened for appending; the user owns it, so that an app may open /dev/stdout. */
  readonly logFile: string
  /** What it is given to listen on, as systemd does it; left out: nothing. */
  readonly listeners?: readonly Inherited[]
  /** Its `oom_score_adj`, and that of what it starts; not below what this process was started with. */
  readonly oomScore: number
}

export interface Spawned {
  readonly child: ChildProcess
  readonly identity: ProcessIdentity
}

/**
 * Starts the program. It inherits descriptors 0 to 2 (0 is /dev/null) and the `listeners` only; libuv gives it default signal dispositions and an empty mask.
 * Its umask is 022 and its soft limit of descriptors 1,024 (more only under a daemon that has hundreds open), whatever the daemon's own are.
 * @throws CutoverError `failed` if the kernel refuses.
 */
export async function spawnProgram(program: Program, around: Surroundings): Promise<Spawned> {
  if (around.listeners !== undefined && around.listeners.length > 0) requireNamesForShell(around.environment)
  closeDescriptorsOnExec()
  const log = openLog(around.logFile, around.user)
  try {
    const softLimit = Math.max(softDescriptors, openDescriptors() + spareDescriptors)
    const { child, refusal } = withOomScore(bornWith, () =>
      bornIn(around.cgroup, (mark) =>
        withSoftLimit('NOFILE', softLimit, () => withUmask(0o022, () => launch(program, around, mark, log))),
      ),
    )
    if (child?.pid === undefined) {
      const [error] = child === null ? [refusal] : await once(child, 'error').catch((error: unknown) => [error])
      throw failure(`${program.file} could not be started: ${explain(error)}.`, { cause: error })
    }
    // It may have ended already, but is not reaped before Node's loop goes on.
    const identity = identify(child.pid)
    if (identity === null) throw failure(`${program.file} (pid ${child.pid}) was reaped by somebody else`)
    isLedBy(around.cgroup, identity)
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
function launch(
  program: Program,
  { directory, environment, listeners = [] }: Surroundings,
  mark: Readonly<Record<string, string>>,
  log: number,
) {
  const { file, args, argv0, credentials } = listeners.length === 0 ? program : toldItsPid(program)
  try {
    const child = withCredentials(credentials, (as) =>
      spawn(file, args, {
        ...as,
        argv0,
        cwd: directory,
        env: { ...addedByNode, ...environment, ...listenEnvironment(listeners), ...mark },
        detached: true,
        stdio: ['ignore', log, log, ...listeners.map(({ fd }) => fd)],
      }),
    )
    return { child, refusal: null }
  } catch (error) {
    return { child: null, refusal: error }
  }
}

/** A listening socket that a program is given when it is started. */
export interface Inherited {
  readonly fd: number
  /** What LISTEN_FDNAMES calls it. */
  readonly name: string
}

/** See sd_listen_fds(3): the sockets are descriptors 3 and up. */
const listenEnvironment = (listeners: readonly Inherited[]): Readonly<Record<string, string>> =>
  listeners.length === 0
    ? {}
    : { LISTEN_FDS: String(listeners.length), LISTEN_FDNAMES: listeners.map(({ name }) => name).join(':') }

/**
 * LISTEN_PID has to be the pid of the program itself, which nobody knows before there is that process: a shell of our own says so, and becomes
 * the program.
 */
const toldItsPid = (program: Program): Program => ({
  ...program,
  file: '/bin/sh',
  argv0: 'sh',
  args: ['-c', 'export LISTEN_PID=$$; exec "$0" "$@"', program.file, ...program.args],
})

/** @throws CutoverError `failed` naming a variable that a shell would not hand on */
function requireNamesForShell(environment: Readonly<Record<string, string>>): void {
  const name = Object.keys(environment).find((one) => !/^[A-Za-z_]\w*$/.test(one))
  if (name !== undefined)
    throw failure(
      `The variable ${name} cannot be handed to a program that is given its socket: only letters, digits and _ can.`,
    )
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
