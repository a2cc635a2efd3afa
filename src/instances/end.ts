/** Ending everything that runs in a cgroup: signals first, with time to react, then the kernel's own kill. */
import type { StopStep } from '../core/app-config.ts'
import { failure } from '../core/errors.ts'
import { killIn, pidsIn, untilNoneIn } from '../linux/enclosure.ts'
import { processName } from '../linux/proc.ts'
import { openPidfd, type ProcessIdentity, sendSignal, signalThrough, watchExit } from '../linux/process.ts'

/**
 * Takes the stop steps, then kills what is left in the cgroup and below it. Each signal goes to every process, first to the mains: a master
 * that knows of its own end does not replace children that end. Whatever was stopped (SIGSTOP) is continued, so that it can react.
 * @param mains the processes that were started there, also if they left the cgroup since
 * @param timeoutMs how long the last step waits, in place of its own wait
 * @throws CutoverError `failed` if something survives SIGKILL for 10 s (a process that hangs in the kernel).
 */
export async function endCgroup(
  cgroup: string,
  mains: readonly ProcessIdentity[],
  steps: readonly StopStep[],
  timeoutMs: number,
): Promise<void> {
  for (const [index, step] of steps.entries()) {
    signalAll(cgroup, mains, step.signal)
    const wait = index === steps.length - 1 ? timeoutMs : step.waitMs
    if (await untilEnded(cgroup, mains, AbortSignal.timeout(wait))) return
  }
  killIn(cgroup)
  for (const main of mains) sendSignal(main, 'SIGKILL')
  if (await untilEnded(cgroup, mains, AbortSignal.timeout(10_000))) return
  const left = pidsIn(cgroup).map((pid) => `${processName(pid) ?? '?'} (pid ${pid})`)
  throw failure(
    `${left.join(', ') || 'A process'} did not end within 10 s although it was killed: it hangs in the kernel.`,
  )
}

function signalAll(cgroup: string, mains: readonly ProcessIdentity[], signal: NodeJS.Signals): void {
  for (const main of mains) {
    sendSignal(main, signal)
    sendSignal(main, 'SIGCONT')
  }
  using stack = new DisposableStack()
  const mainPids = new Set(mains.map(({ pid }) => pid))
  const opened = pidsIn(cgroup)
    .filter((pid) => !mainPids.has(pid))
    .flatMap((pid) => {
      const pidfd = openPidfd(pid)
      return pidfd === null ? [] : [{ pid, pidfd: stack.use(pidfd) }]
    })
  // A pid may have been given to a stranger before it was opened: those that are in the cgroup now were opened rightly.
  const inside = new Set(pidsIn(cgroup))
  for (const { pid, pidfd } of opened) {
    if (!inside.has(pid)) continue
    signalThrough(pidfd, signal)
    signalThrough(pidfd, 'SIGCONT')
  }
}

const untilEnded = async (cgroup: string, mains: readonly ProcessIdentity[], signal: AbortSignal): Promise<boolean> =>
  (await untilNoneIn(cgroup, signal)) && (await untilGone(mains, signal))

async function untilGone(mains: readonly ProcessIdentity[], signal: AbortSignal): Promise<boolean> {
  for (const main of mains) {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const aborted = () => resolve(false)
    using _watch = watchExit(main, () => resolve(true))
    signal.addEventListener('abort', aborted)
    if (signal.aborted) aborted()
    const gone = await promise
    signal.removeEventListener('abort', aborted)
    if (!gone) return false
  }
  return true
}
