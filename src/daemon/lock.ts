/** The lock of a home: whoever has it is its daemon. It is given up when its process ends, however that ends. */
import { readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { refusal } from '../core/errors.ts'
import type { Descriptor } from '../linux/ffi.ts'
import { lockFile } from '../linux/flock.ts'
import type { Place } from './place.ts'

/**
 * The lock file's text is the pid of who has it, for people.
 * @throws CutoverError `refused` if another process has it
 */
export function takeLock(place: Place): Descriptor {
  const lock = lockFile(place.lock)
  if (lock === null) {
    const pid = readFileSync(place.lock, 'utf8').trim()
    throw refusal(`A daemon of ${place.home} runs already (pid ${pid}). To end it, apps going on: cutover daemon stop`)
  }
  writeFileSync(place.lock, `${process.pid}\n`)
  return lock
}
