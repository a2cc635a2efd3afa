/** Looking at a directory of logs whenever one of them grows, and not more often than need be. */
import { watch } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** When to look again where that failed, or where nobody tells us: the user's inotify watches are used up, or the directory is gone. */
const laterMs = 5000

/**
 * Calls `look` at once, and whenever something in the directory has changed since, until it is disposed. inotify says so; after each look that
 * found something to do the watch rests, so that an app that prints without pause costs one look in `restMs` and not one a line.
 * @param look says whether it found something to do. If it throws (the disk is full) it is called again later, and when something changes
 */
export function whenItGrows(directory: string, restMs: number, look: () => boolean | Promise<boolean>): Disposable {
  const over = new AbortController()
  void goOn(directory, restMs, async () => (over.signal.aborted ? false : await look()), over.signal)
  return { [Symbol.dispose]: () => over.abort() }
}

async function goOn(
  directory: string,
  restMs: number,
  look: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    // First watch, then look: what is written in between is told.
    const change = watchFor(directory, signal)
    try {
      if (!(await look()) && (await change.told)) await look()
    } catch {
      await Promise.race([change.told, rest(laterMs, signal)])
    }
    change.close()
    await rest(restMs, signal)
  }
}

/** The next change of the directory; `told` is false if the signal aborted first. */
function watchFor(directory: string, signal: AbortSignal) {
  const { promise: told, resolve } = Promise.withResolvers<boolean>()
  const aborted = () => resolve(false)
  signal.addEventListener('abort', aborted)
  try {
    const changed = () => resolve(true)
    const watcher = watch(directory, { persistent: false }, changed).on('error', changed)
    const close = () => {
      signal.removeEventListener('abort', aborted)
      watcher.close()
    }
    return { told, close }
  } catch {
    rest(laterMs, signal).then(() => resolve(!signal.aborted))
    return { told, close: () => signal.removeEventListener('abort', aborted) }
  }
}

const rest = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { ref: false, signal }).catch(() => {})
