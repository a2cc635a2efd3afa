import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { type TestContext, test } from 'node:test'
import { processMemory, processName } from '../../src/linux/proc.ts'
import {
  type ExitStatus,
  identify,
  isAlive,
  type ProcessIdentity,
  sendSignal,
  watchExit,
} from '../../src/linux/process.ts'
import { sinceLinux } from '../support/kernel.ts'
import { eventually, temporaryDirectory } from '../support/workspace.ts'

/** A process whose parent has gone: what the apps of a former daemon are to the next one. */
async function orphan(t: TestContext, script: string): Promise<ProcessIdentity> {
  const parent = spawn('sh', ['-c', `(${script}) >/dev/null & echo $!`], { stdio: ['ignore', 'pipe', 'ignore'] })
  const [line] = await once(parent.stdout, 'data')
  const identity = identify(Number(line))
  assert.ok(identity)
  t.after(() => sendSignal(identity, 'SIGKILL'))
  return identity
}

/** PIDFD_INFO_EXIT */
const tellsExits = sinceLinux('6.15')

const exitOf = (identity: ProcessIdentity): Promise<ExitStatus> => new Promise((tell) => watchExit(identity, tell))

test('the exit of a process that is not our child is told, with its code', { skip: tellsExits }, async (t) => {
  const go = join(temporaryDirectory(t), 'go')
  const app = await orphan(t, `until [ -e ${go} ]; do sleep 0.02; done; exit 7`)
  const exit = exitOf(app)
  writeFileSync(go, '')
  assert.deepEqual(await exit, { code: 7, signal: null })
})

test('the signal that ended a foreign process is told', { skip: tellsExits }, async (t) => {
  const app = await orphan(t, 'exec sleep 60')
  const exit = exitOf(app)
  assert.equal(sendSignal(app, 'SIGTERM'), true)
  assert.deepEqual(await exit, { code: null, signal: 'SIGTERM' })
})

test('a process is alive until it ends, and its zombie is not', async (t) => {
  const app = await orphan(t, 'exec sleep 60')
  assert.equal(isAlive(app), true)
  sendSignal(app, 'SIGKILL')
  await eventually(() => !isAlive(app))
})

test('another process with the same pid is never taken for the one that was known', async (t) => {
  const app = await orphan(t, 'exec sleep 60')
  const former = { pid: app.pid, startTime: app.startTime - 1 }
  assert.equal(isAlive(former), false)
  assert.equal(sendSignal(former, 'SIGKILL'), false)
  assert.deepEqual(await exitOf(former), { code: null, signal: null })
  assert.equal(isAlive(app), true)
})

test('a watch that was given up tells nothing', async (t) => {
  const app = await orphan(t, 'exec sleep 60')
  const given = watchExit(app, () => assert.fail('told'))
  given[Symbol.dispose]()
  const exit = exitOf(app)
  sendSignal(app, 'SIGKILL')
  await exit
})

test('a pid that nobody has is no identity', () => {
  assert.equal(identify(4_194_303), null)
})

test('the name and the memory of a process are known while it lives', async (t) => {
  const sleeper = await orphan(t, 'exec sleep 60')
  await eventually(() => processName(sleeper.pid) === 'sleep')
  const memory = processMemory(process.pid)
  assert.ok(memory > 10_000_000 && memory < 2_000_000_000)
  assert.equal(processMemory(4_194_303), 0)
  assert.equal(processName(4_194_303), null)
})
