/** A cgroup whose memory is limited, for tests that use all of it up: nothing outside of it notices. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { asRoot } from './namespace.ts'
import { eventually } from './workspace.ts'

/** Where Linux's memory controller, version 1, is mounted by those that use it: there children of a process stay with it in any case. */
const controller = '/sys/fs/cgroup/memory'

/** For the `skip` option of a test that needs one. */
export const withoutMemoryCgroup: string | false =
  asRoot || (existsSync(join(controller, 'memory.limit_in_bytes')) ? false : 'needs the memory controller, version 1')

/** Puts the process into a cgroup of its own with so many bytes. It is removed when all of the test has ended. */
export function limitMemory(t: Pick<TestContext, 'after'>, pid: number, bytes: number) {
  const directory = join(controller, `cutover-test-${process.pid}`)
  mkdirSync(directory)
  t.after(() =>
    eventually(() => {
      try {
        rmdirSync(directory)
        return true
      } catch {
        // Processes that were killed a moment ago are still on their way out.
        return false
      }
    }),
  )
  const setLimit = (limit: number) => writeFileSync(join(directory, 'memory.limit_in_bytes'), String(limit))
  setLimit(bytes)
  writeFileSync(join(directory, 'cgroup.procs'), String(pid))
  const used = () => Number(readFileSync(join(directory, 'memory.usage_in_bytes'), 'utf8'))
  return { directory, setLimit, used }
}
