/** Places that a test may litter: they go when it ends, however it ends. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cgroupRoot, createCgroup, killCgroup, removeCgroup } from '../../src/linux/cgroup.ts'
import { untilEmpty } from '../../src/linux/cgroup-events.ts'

export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-test-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

let count = 0

/** A cgroup for this test alone; whatever still runs in it when the test ends is killed. */
export function temporaryCgroup(t: TestContext): string {
  const directory = join(cgroupRoot(), `cutover-test-${process.pid}-${++count}`)
  createCgroup(directory)
  t.after(async () => {
    killCgroup(directory)
    await untilEmpty(directory, AbortSignal.timeout(10_000))
    removeCgroup(directory)
  })
  return directory
}

type Seen<T> = T | null | undefined | false

/** Waits for something that no event tells to a test. Generous, because the machine may be busy. */
export async function eventually<T>(look: () => Seen<T> | Promise<Seen<T>>): Promise<T> {
  for (let tries = 0; tries < 1000; tries++) {
    const seen = await look()
    if (seen !== null && seen !== undefined && seen !== false) return seen
    await sleep(20)
  }
  throw new Error('it did not come true within 20 s')
}
