/** Running a command of an app to its end: `build`, `release`, a health command. */
import { statSync } from 'node:fs'
import { oomScoreOf } from '../core/oom.ts'
import { createEnclosure, pidsIn, removeEnclosure } from '../linux/enclosure.ts'
import { inheritedOomScore } from '../linux/oom.ts'
import type { ExitStatus } from '../linux/process.ts'
import { endCgroup } from './end.ts'
import { linesFrom } from './log-lines.ts'
import { findProgram, type RunAs } from './program.ts'
import { spawnProgram } from './spawn.ts'

export interface CommandSpec {
  readonly command: readonly string[]
  readonly directory: string
  /** All of it; its PATH is where the program is looked for. */
  readonly environment: Readonly<Record<string, string>>
  readonly user: RunAs | null
  /** The command's own cgroup: made here, and removed. */
  readonly cgroup: string
  /** The command appends its output to it; /dev/null is fine. */
  readonly logFile: string
  /** Each line of its output, soon after it was written. */
  readonly onLine?: (line: string) => void
  readonly signal: AbortSignal
}

/**
 * Runs the command until its process ends; what that left running in its cgroup is killed. When the signal aborts, all of it gets SIGTERM and
 * 2 s, then SIGKILL, and the promise rejects with the signal's reason once nothing is left.
 * @throws CutoverError `failed` if it cannot be started.
 */
export async function runCommand(spec: CommandSpec): Promise<ExitStatus> {
  const { command, directory, environment, user, cgroup, logFile, signal } = spec
  const program = await findProgram({ command, directory, user, path: environment.PATH ?? '' })
  signal.throwIfAborted()
  const from = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0
  createEnclosure(cgroup)
  const over = new AbortController()
  try {
    const { child, identity } = await spawnProgram(program, { cgroup, directory, environment, user, logFile, oomScore })
    const output = spec.onLine ? show(logFile, from, over.signal, spec.onLine) : null
    // Awaited below, where it is thrown; a failure before that must not count as unhandled.
    output?.catch(() => {})
    const ended = new Promise<ExitStatus>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }))
    })
    const aborted = Promise.withResolvers<null>()
    const abort = () => aborted.resolve(null)
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
    const status = await Promise.race([ended, aborted.promise])
    signal.removeEventListener('abort', abort)

    const steps = status === null ? [{ signal: 'SIGTERM' as const, waitMs: 0 }] : []
    await endCgroup(cgroup, status === null ? [identity] : [], steps, graceMs)
    const final = await ended
    over.abort()
    await output
    signal.throwIfAborted()
    return final
  } finally {
    over.abort()
    removeIfEmpty(cgroup)
  }
}

const graceMs = 2000

const oomScore = oomScoreOf('other', inheritedOomScore)

/** A process that hangs in the kernel keeps its cgroup; what is thrown then says so better than EBUSY. */
function removeIfEmpty(cgroup: string): void {
  if (pidsIn(cgroup).length === 0) removeEnclosure(cgroup)
}

async function show(file: string, from: number, until: AbortSignal, onLine: (line: string) => void): Promise<void> {
  for await (const line of linesFrom(file, from, until)) onLine(line)
}
