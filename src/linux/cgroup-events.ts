/** Waiting until all processes of a cgroup have ended, or stand still. See `cgroup.events` in the kernel's admin-guide/cgroup-v2. */
import { type FSWatcher, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import { isGone } from './cgroup.ts'

/**
 * Resolves true as soon as no process is left in the cgroup and below it (or it does not exist), false when the signal aborts first.
 * Zombies do not count. The kernel tells, nothing is polled.
 */
export const untilEmpty = (directory: string, signal: AbortSignal): Promise<boolean> =>
  untilNot('populated 1', directory, signal)

/** The same for processes that are being frozen: true as soon as all stand still, or there is none. */
export const untilFrozen = (directory: string, signal: AbortSignal): Promise<boolean> =>
  untilNot('frozen 0', directory, signal)

function untilNot(line: string, directory: string, signal: AbortSignal): Promise<boolean> {
  const file = join(directory, 'cgroup.events')
  return new Promise((resolve, reject) => {
    let watcher: FSWatcher | null = null
    const settle = (act: () => void) => {
      watcher?.close()
      signal.removeEventListener('abort', look)
      act()
    }
    const look = () => {
      try {
        if (!says(file, line)) settle(() => resolve(true))
        else if (signal.aborted) settle(() => resolve(false))
      } catch (error) {
        settle(() => reject(error))
      }
    }
    try {
      // First watch, then look: what happens in between is told.
      watcher = watch(file, look)
      watcher.on('error', (error) => settle(() => reject(error)))
    } catch (error) {
      if (!isGone(error)) return reject(error)
    }
    signal.addEventListener('abort', look)
    look()
  })
}

function says(file: string, line: string): boolean {
  try {
    return readFileSync(file, 'utf8').split('\n').includes(line)
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}
