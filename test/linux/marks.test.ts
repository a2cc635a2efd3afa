/** Processes are kept together by a mark and their session, without any privilege. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { type TestContext, test } from 'node:test'
import {
  addLeader,
  forgetLeaders,
  isAnyMarked,
  killMarked,
  markedPids,
  markOf,
  untilNoneMarked,
} from '../../src/linux/marks.ts'
import { identify } from '../../src/linux/process.ts'
import { eventually } from '../support/workspace.ts'

let count = 0

/** Runs a script as the leader of a session that has the mark; whatever is left of it when the test ends is killed. */
async function start(t: TestContext, script: string): Promise<{ readonly name: string; readonly pid: number }> {
  const name = `cutover-test-${process.pid}-${++count}/app.v1`
  const child = spawn('sh', ['-c', script], {
    env: { PATH: process.env.PATH, ...markOf(name) },
    detached: true,
    stdio: 'ignore',
  })
  t.after(async () => {
    killMarked(name)
    await untilNoneMarked(name, AbortSignal.timeout(10_000))
    forgetLeaders(name)
  })
  const leader = identify(child.pid ?? 0)
  assert.ok(leader)
  addLeader(name, leader)
  return { name, pid: leader.pid }
}

test('who has the mark is found in whatever session, and who is in the session with whatever environment', async (t) => {
  const { name, pid } = await start(t, 'env -i sleep 60 & setsid sleep 60 & env -i setsid -w sleep 0.1; exec sleep 61')
  // It becomes the last one when all others have been started.
  await eventually(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8') === 'sleep\u000061\u0000')
  const pids = await eventually(() => (markedPids(name).length === 3 ? markedPids(name) : null))
  assert.ok(pids.includes(pid))
  const [outer] = name.split('/')
  assert.deepEqual(markedPids(outer ?? '').toSorted(), pids.toSorted())
  assert.deepEqual(markedPids(`${outer}/app.v10`), [])
  assert.deepEqual(markedPids(`${name}/w1`), [])
})

test('all of it is ended, what is started meanwhile as well, and the end is told', async (t) => {
  const { name } = await start(t, 'while :; do sleep 60 & sleep 0.01; done')
  await eventually(() => markedPids(name).length > 5)
  assert.equal(await untilNoneMarked(name, AbortSignal.timeout(100)), false)
  killMarked(name)
  assert.equal(await untilNoneMarked(name, AbortSignal.timeout(10_000)), true)
  assert.equal(isAnyMarked(name), false)
})

test('what the first process left behind still belongs there when that one has ended', async (t) => {
  const { name, pid } = await start(t, 'env -i sleep 60 & exit')
  await eventually(() => {
    const pids = markedPids(name)
    return pids.length === 1 && !pids.includes(pid)
  })
  assert.equal(isAnyMarked(name), true)
})

test('a process that begins a session of its own and clears its environment has left', async (t) => {
  const { name } = await start(t, 'env -i setsid sleep 2 & sleep 60')
  await eventually(() => markedPids(name).length >= 2)
  await eventually(() => markedPids(name).length === 2)
})
