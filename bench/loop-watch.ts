/**
 * How long a process's event loop was blocked: a timer of 1 ms that notes how late it comes. A daemon under watch loads this file first, and
 * tells its longest block in a file of its home on SIGUSR2.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { startInBackground } from '../src/daemon/autostart.ts'
import type { Place } from '../src/daemon/place.ts'
import { installProgram } from '../src/daemon/program/install.ts'

export interface LoopWatch {
  /** The longest block since the last call. */
  longestMs(): number
  end(): void
}

const tickMs = 1

export function watchLoop(): LoopWatch {
  let longest = 0
  let last = performance.now()
  const look = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last - tickMs)
    last = now
  }
  const timer = setInterval(look, tickMs)
  timer.unref()
  return {
    longestMs: () => {
      look()
      const told = longest
      longest = 0
      return told
    },
    end: () => clearInterval(timer),
  }
}

/** Starts a daemon that watches its own loop. */
export async function startWatched(place: Place): Promise<void> {
  const [node, ...args] = await installProgram(place.home)
  await startInBackground(place, [node, '--import', import.meta.url, ...args, '--ready-fd', '3'])
}

const fileIn = (home: string): string => join(home, 'longest-block')

/** The longest block, in milliseconds, of the watched daemon there since it was asked last. */
export async function readLongestBlock({ home, lock }: Place): Promise<number> {
  const file = fileIn(home)
  process.kill(Number(readFileSync(lock, 'utf8')), 'SIGUSR2')
  for (let tries = 0; !existsSync(file); tries++) {
    if (tries === 5000) throw new Error('the daemon does not tell its longest block')
    await sleep(1)
  }
  const told = Number(readFileSync(file, 'utf8'))
  rmSync(file)
  return told
}

const { CUTOVER_HOME: home } = process.env
if (process.execArgv.includes(import.meta.url) && home !== undefined) {
  const watch = watchLoop()
  process.on('SIGUSR2', () => {
    writeFileSync(`${fileIn(home)}.new`, String(watch.longestMs()))
    renameSync(`${fileIn(home)}.new`, fileIn(home))
  })
}
