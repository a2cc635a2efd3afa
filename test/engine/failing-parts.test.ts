/** What is true where the kernel, or a process of an app, does not do what it is told. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { failure } from '../../src/core/errors.ts'
import { openEngine } from '../../src/engine/open.ts'
import { type Parts, parts } from '../../src/engine/parts.ts'
import { cgroupPids, createCgroup } from '../../src/linux/cgroup.ts'
import { app, appFolder, whoAnswers } from '../support/app.ts'
import { asRoot } from '../support/namespace.ts'
import { eventually } from '../support/workspace.ts'
import { by, engineHome, inProcess, log } from './in-process.ts'

const skip = asRoot
const report = () => {}

test('what fails after the cutover is no failure of the deploy: it is live, and the former release stands by', {
  skip,
}, async (t) => {
  let fails = false
  const { engine, deploy } = await inProcess(t, {
    ...parts,
    cgroups: {
      ...parts.cgroups,
      setOomScores: (...given) => {
        if (fails) throw new Error('EMFILE: too many open files')
        parts.cgroups.setOomScores(...given)
      },
    },
  })
  const folder = appFolder(t)
  await deploy(folder)
  fails = true
  assert.equal((await deploy(folder)).release, 2)
  assert.equal(await whoAnswers(), 'v2')
  assert.equal(engine.history(app).at(-1)?.outcome, 'done')
  await eventually(() => engine.status(app)[0]?.standby.includes(1) === true)
})

test('an app is not stopped, and not removed, as long as a process of it runs; once that has ended it can be', {
  skip,
}, async (t) => {
  let hangs = true
  const { engine, deploy, cgroup } = await inProcess(
    t,
    whose1stReleaseHangs(() => hangs),
  )
  const folder = appFolder(t)
  await deploy(folder)
  await deploy(folder)
  const pids = cgroupPids(join(cgroup, `${app}.v1`))
  assert.ok(pids.length > 0)
  const says = new RegExp(`processes of v1 \\(${pids[0]}.*did not end.*Clients are refused`)
  await assert.rejects(engine.stop(app, by, report), { kind: 'failed', message: says })
  await assert.rejects(whoAnswers(), { code: 'ECONNREFUSED' })
  await assert.rejects(engine.remove(app, by, report), { kind: 'failed', message: says })
  await assert.rejects(engine.shutdown(by), { kind: 'failed', message: says })
  assert.deepEqual(cgroupPids(join(cgroup, `${app}.v1`)), pids)
  assert.deepEqual(
    engine.history(app).flatMap(({ kind, outcome }) => (kind === 'stop' || kind === 'remove' ? [outcome] : [])),
    ['failed', 'failed', 'failed'],
  )
  hangs = false
  await engine.stop(app, by, report)
  assert.deepEqual(cgroupPids(join(cgroup, `${app}.v1`)), [])
  await engine.remove(app, by, report)
  assert.deepEqual(engine.status(), [])
})

test('a process in the cgroup that nobody knows keeps no daemon from starting', { skip }, async (t) => {
  const place = engineHome()
  const stuck = join(place.cgroup, 'stuck')
  mkdirSync(place.cgroup, { recursive: true })
  createCgroup(stuck)
  const sleeper = spawn('sleep', ['60'], { stdio: 'ignore' })
  writeFileSync(join(stuck, 'cgroup.procs'), String(sleeper.pid))
  try {
    const engine = await openEngine({ home: place.home, log })
    assert.deepEqual(engine.status(), [])
    engine.close()
  } finally {
    sleeper.kill('SIGKILL')
    await once(sleeper, 'exit')
  }
  // The next one that has nothing to keep takes it away.
  await inProcess(t, parts, place)
})

/** The parts of an engine whose first release does not end while `hangs` says so, as one whose processes hang in the kernel. */
function whose1stReleaseHangs(hangs: () => boolean): Parts {
  let started = 0
  return {
    ...parts,
    instances: {
      ...parts.instances,
      start: async (...given) => {
        const instance = await parts.instances.start(...given)
        if (++started > 1) return instance
        const stop = async () => {
          if (hangs()) throw failure('a process hangs in the kernel.')
          await instance.stop()
        }
        return { ...instance, stop }
      },
    },
  }
}
