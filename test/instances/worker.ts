/** A small release for tests of instances: a script of a shell or of Node, its log, what was told of it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { type InstanceEvent, type InstanceSpec, startInstance } from '../../src/instances/instance.ts'
import { eventually, temporaryCgroup, temporaryDirectory } from '../support/workspace.ts'

export const path = process.env.PATH ?? '/usr/bin:/bin'

export function specOf(t: TestContext, command: readonly string[], more: Partial<InstanceSpec> = {}): InstanceSpec {
  const directory = temporaryDirectory(t)
  return {
    cgroup: temporaryCgroup(t),
    directory,
    command,
    workers: 1,
    environment: (worker) => ({ PATH: path, CUTOVER_WORKER: String(worker) }),
    user: null,
    logFile: join(directory, 'logs', 'v1.log'),
    stop: [{ signal: 'SIGTERM', waitMs: 0 }],
    stopTimeoutMs: 20_000,
    ...more,
  }
}

export async function start(t: TestContext, spec: InstanceSpec) {
  const events: InstanceEvent[] = []
  const instance = await startInstance(spec, (event) => events.push(event))
  t.after(() => instance.stop())
  return {
    instance,
    events,
    log: () => readFileSync(spec.logFile, 'utf8'),
    logged: (text: string) => eventually(() => readFileSync(spec.logFile, 'utf8').includes(text)),
    told: (type: InstanceEvent['type'], count = 1) =>
      eventually(() => events.filter((event) => event.type === type).length >= count),
  }
}
