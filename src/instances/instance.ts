/** The running processes of a release: one or more workers, each in a cgroup of its own below the release's. */

import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { StopStep } from '../core/app-config.ts'
import type { Pid } from '../core/words.ts'
import { createEnclosure, isLedBy, killIn, pidsIn, removeEnclosure, untilNoneIn } from '../linux/enclosure.ts'
import { inheritedOomScore } from '../linux/oom.ts'
import { processStat } from '../linux/proc.ts'
import { describeExit, type ExitStatus, identify, isAlive, type ProcessIdentity, watchExit } from '../linux/process.ts'
import { endCgroup } from './end.ts'
import { noteInLog } from './notes.ts'
import { findProgram, type RunAs } from './program.ts'
import { exitsInARow, restartDelayMs } from './restarts.ts'
import { type Inherited, spawnProgram } from './spawn.ts'

export interface InstanceSpec {
  /** The release's cgroup or what stands in for one (linux/enclosure.ts), which exists; those of its workers, `w1`, `w2` …, are made and removed here. */
  readonly cgroup: string
  /** Where the workers run. */
  readonly directory: string
  readonly command: readonly string[]
  /** How many, numbered from 1. */
  readonly workers: number
  /** The whole environment of a worker; its PATH is where the program is looked for. If it throws, the worker could not be started. */
  readonly environment: (worker: number) => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>
  /** null: as the daemon itself. */
  readonly user: RunAs | null
  /**
   * Each time before the worker is started, which waits for it and then begins at once. A rejection counts as if the worker could not be
   * started. The signal aborts when the instance is stopped.
   */
  readonly beforeStart?: (worker: number, signal: AbortSignal) => Promise<void>
  readonly logFile: string
  /** What each worker is given to listen on; left out: it opens its ports by itself. */
  readonly listeners?: () => readonly Inherited[]
  /** `oom_score_adj` of a worker that is started now. Left out: what this process was started with. */
  readonly oomScore?: () => number
  readonly stop: readonly StopStep[]
  readonly stopTimeoutMs: number
}

export interface Worker {
  readonly worker: number
  /** null while it is down. */
  readonly identity: ProcessIdentity | null
  /** How often it was started again. */
  readonly restarts: number
  /** How often it ended, or could not be started, without having run for a healthy minute since. */
  readonly exits: number
  /** Milliseconds until it is started again; null unless it waits for that. */
  readonly triedAgainInMs: number | null
}

export type InstanceEvent =
  /** `restartInMs` is null if nobody starts it again. */
  | {
      readonly type: 'exit'
      readonly worker: number
      readonly pid: Pid
      readonly status: ExitStatus
      readonly restartInMs: number | null
    }
  /** A worker was started again. */
  | { readonly type: 'started'; readonly worker: number; readonly identity: ProcessIdentity }
  /** Starting a worker again failed; it is tried once more later. */
  | { readonly type: 'unstartable'; readonly worker: number; readonly reason: string; readonly restartInMs: number }

export interface Instance {
  workers(): readonly Worker[]
  /** Every process of the release, its workers' children included. */
  pids(): readonly Pid[]
  /** From now on workers that exit (or did already) are started again: at once, then after 1 s to 30 s; after a healthy minute at once again. */
  keepAlive(): void
  /**
   * Ends every process of the release and removes the workers' cgroups. Once it is called nothing is started any more; when it resolves
   * every exit was told.
   * @throws CutoverError `failed` if a process hangs in the kernel.
   */
  stop(): Promise<void>
  /** Stops watching: the processes go on, and no event comes any more. */
  abandon(): void
}

/**
 * Starts all workers; resolves when each has been exec'ed. Events come after that, never before.
 * @throws CutoverError `failed` if one cannot be started; then none runs, and no event comes.
 */
export async function startInstance(spec: InstanceSpec, onEvent: (event: InstanceEvent) => void): Promise<Instance> {
  const early: InstanceEvent[] = []
  let tell = (event: InstanceEvent): void => {
    early.push(event)
  }
  const { instance, start } = supervise(spec, [], (event) => tell(event))
  try {
    for (let worker = 1; worker <= spec.workers; worker++) await start(worker)
  } catch (error) {
    await instance.stop()
    throw error
  }
  setImmediate(() => {
    tell = onEvent
    early.forEach(onEvent)
  })
  return instance
}

/**
 * Takes over what an earlier daemon started. A worker that ended meanwhile brings its `exit` event, status unknown unless the kernel still
 * knows; one that was started again and not written down any more is found in its cgroup; others are merely down.
 */
export function adoptInstance(
  spec: InstanceSpec,
  workers: readonly {
    readonly worker: number
    readonly identity: ProcessIdentity | null
    readonly restarts?: number
  }[],
  onEvent: (event: InstanceEvent) => void,
): Instance {
  const adopted = Array.from({ length: spec.workers }, (_, index) => {
    const worker = index + 1
    const { identity = null, restarts = 0 } = workers.find((one) => one.worker === worker) ?? {}
    if (identity !== null) isLedBy(join(spec.cgroup, `w${worker}`), identity)
    if (identity !== null && isAlive(identity)) return { worker, identity, restarts }
    const found = leaderIn(join(spec.cgroup, `w${worker}`))
    return { worker, identity: found ?? identity, restarts: found === null ? restarts : restarts + 1 }
  })
  return supervise(spec, adopted, onEvent).instance
}

/** The process that was started in this cgroup: the oldest that leads a session of its own, as all do that {@link spawnProgram} starts. */
function leaderIn(cgroup: string): ProcessIdentity | null {
  const leaders = pidsIn(cgroup)
    .filter((pid) => processStat(pid)?.session === pid)
    .flatMap((pid) => identify(pid) ?? [])
    .filter(isAlive)
  return leaders.toSorted((a, b) => a.startTime - b.startTime)[0] ?? null
}

/** What is known of one worker; it changes. */
interface Slot {
  readonly worker: number
  readonly cgroup: string
  identity: ProcessIdentity | null
  /** Resolved when the exit of the last process was told, or will never be. */
  ended: PromiseWithResolvers<void>
  /** Ends the watch for its exit. */
  unwatch: () => void
  restarts: number
  /** Exits in a row, none of them after a healthy minute. */
  exits: number
  startedAt: number
  reviving: boolean
  /** When it is started again, on the clock of `performance`. */
  nextTry: number | null
}

function supervise(
  spec: InstanceSpec,
  adopted: readonly { worker: number; identity: ProcessIdentity | null; restarts?: number }[],
  onEvent: (event: InstanceEvent) => void,
) {
  const over = new AbortController()
  let kept = false
  let stopped: Promise<void> | null = null

  const slots = Array.from({ length: spec.workers }, (_, index): Slot => {
    const worker = index + 1
    const known = adopted.find((one) => one.worker === worker)
    return {
      worker,
      cgroup: join(spec.cgroup, `w${worker}`),
      identity: known?.identity ?? null,
      ended: Promise.withResolvers(),
      unwatch: () => {},
      restarts: known?.restarts ?? 0,
      exits: 0,
      startedAt: performance.now(),
      reviving: false,
      nextTry: null,
    }
  })
  for (const slot of slots) {
    if (slot.identity === null) continue
    const watch = watchExit(slot.identity, (status) => exited(slot, status))
    slot.unwatch = () => watch[Symbol.dispose]()
  }

  async function start(slot: Slot): Promise<ProcessIdentity> {
    const environment = await spec.environment(slot.worker)
    const { command, directory, user, logFile } = spec
    const program = await findProgram({ command, directory, user, path: environment.PATH ?? '' })
    await spec.beforeStart?.(slot.worker, over.signal)
    over.signal.throwIfAborted()
    createEnclosure(slot.cgroup)
    const { child, identity } = await spawnProgram(program, {
      cgroup: slot.cgroup,
      directory,
      environment,
      user,
      logFile,
      listeners: spec.listeners?.() ?? [],
      oomScore: spec.oomScore?.() ?? inheritedOomScore,
    })
    slot.identity = identity
    slot.ended = Promise.withResolvers()
    slot.startedAt = performance.now()
    const onExit = (code: number | null, signal: NodeJS.Signals | null) => exited(slot, { code, signal })
    child.once('exit', onExit)
    slot.unwatch = () => {
      child.off('exit', onExit)
      child.unref()
    }
    return identity
  }

  function exited(slot: Slot, status: ExitStatus): void {
    const pid = slot.identity?.pid ?? 0
    slot.identity = null
    slot.exits = exitsInARow(slot.exits, performance.now() - slot.startedAt)
    const restartInMs = kept && !over.signal.aborted ? restartDelayMs(slot.exits++) : null
    const next = restartInMs === null ? '' : `; starts again ${inWords(restartInMs)}`
    noteInLog(spec.logFile, `worker ${slot.worker} (pid ${pid}) ${describeExit(status)}${next}`)
    onEvent({ type: 'exit', worker: slot.worker, pid, status, restartInMs })
    slot.ended.resolve()
    if (restartInMs !== null) void revive(slot, restartInMs)
  }

  /** Never rejects: it tries until it worked, or all is over. */
  async function revive(slot: Slot, firstDelayMs: number): Promise<void> {
    slot.reviving = true
    for (let delayMs = firstDelayMs; !over.signal.aborted; ) {
      try {
        // What the dead one left behind (children of its own) would hold its port, its locks, its place.
        killIn(slot.cgroup)
        await untilNoneIn(slot.cgroup, AbortSignal.any([over.signal, AbortSignal.timeout(clearingMs)]))
        slot.nextTry = performance.now() + delayMs
        await sleep(delayMs, undefined, { signal: over.signal })
        slot.nextTry = null
        const identity = await start(slot)
        slot.restarts++
        slot.reviving = false
        onEvent({ type: 'started', worker: slot.worker, identity })
        return
      } catch (error) {
        if (over.signal.aborted) return
        const reason = error instanceof Error ? error.message : String(error)
        delayMs = restartDelayMs(slot.exits++)
        noteInLog(
          spec.logFile,
          `worker ${slot.worker} could not be started (tried again ${inWords(delayMs)}): ${reason}`,
        )
        onEvent({ type: 'unstartable', worker: slot.worker, reason, restartInMs: delayMs })
      }
    }
  }

  async function stop(): Promise<void> {
    over.abort()
    const running = slots.filter(({ identity }) => identity !== null)
    const mains = running.flatMap(({ identity }) => identity ?? [])
    await endCgroup(spec.cgroup, mains, spec.stop, spec.stopTimeoutMs)
    await Promise.all(running.map(({ ended }) => ended.promise))
    for (const slot of slots) removeEnclosure(slot.cgroup)
  }

  const instance: Instance = {
    workers: () => slots.map(workerOf),
    pids: () => pidsIn(spec.cgroup),
    keepAlive: () => {
      kept = true
      for (const slot of slots)
        if (slot.identity === null && !slot.reviving) void revive(slot, restartDelayMs(slot.exits++))
    },
    stop: () => {
      // What hung in the kernel may end later: whoever asks again tries again.
      stopped ??= stop().catch((error: unknown) => {
        stopped = null
        throw error
      })
      return stopped
    },
    abandon: () => {
      over.abort()
      for (const slot of slots) {
        slot.unwatch()
        slot.ended.resolve()
      }
    },
  }
  return { instance, start: (worker: number) => start(slots[worker - 1] as Slot) }
}

function workerOf({ worker, identity, restarts, exits, startedAt, nextTry }: Slot): Worker {
  const now = performance.now()
  return {
    worker,
    identity,
    restarts,
    exits: identity === null ? exits : exitsInARow(exits, now - startedAt),
    triedAgainInMs: nextTry === null ? null : Math.max(0, nextTry - now),
  }
}

/** How long the processes that a dead worker left may take to vanish after SIGKILL before the worker is started beside them. */
const clearingMs = 5000

const inWords = (ms: number): string => (ms === 0 ? 'at once' : `in ${ms / 1000} s`)
