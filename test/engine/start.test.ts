/** A start that fails in its last moment. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Parts, parts } from '../../src/engine/parts.ts'
import { killCgroup } from '../../src/linux/cgroup.ts'
import { app, appFolder, whoAnswers } from '../support/app.ts'
import { asRoot } from '../support/namespace.ts'
import { by, engineHome, inProcess } from './in-process.ts'

const report = () => {}

test('a release that ends right before it gets the traffic is taken away, and can be started again', {
  skip: asRoot,
}, async (t) => {
  const place = engineHome()
  const worker = join(place.cgroup, `${app}.v1`, 'w1')
  let ends = false
  const { engine, deploy } = await inProcess(
    t,
    withStep((step) => ends && step === 'cutover' && kill(worker)),
    place,
  )
  await deploy(appFolder(t, { workers: 2 }))
  await engine.stop(app, by, report)

  ends = true
  await assert.rejects(engine.start(app, by, report), { kind: 'failed', message: /did not go live again/ })
  assert.deepEqual(
    engine.status(app).flatMap(({ stopped, releases }) => [stopped, releases.map(({ pids }) => pids)]),
    [true, [[]]],
  )
  ends = false
  assert.equal((await engine.start(app, by, report)).release, 1)
  assert.equal(await whoAnswers(), 'v1')
})

/** The parts of an engine that tells each step right after it is written down. */
const withStep = (told: (step: string) => unknown): Parts => ({
  ...parts,
  openStore: (...args) => {
    const store = parts.openStore(...args)
    const step = (id: number, name: string) => {
      store.operations.step(id, name)
      told(name)
    }
    return { ...store, operations: { ...store.operations, step } }
  },
})

/**
 * Returns when the processes have gone, before anybody else hears of it. A process leaves `cgroup.procs` before it has closed its files;
 * `populated` says that it has.
 */
function kill(cgroup: string): void {
  killCgroup(cgroup)
  const deadline = performance.now() + 10_000
  while (/^populated 1$/m.test(readFileSync(join(cgroup, 'cgroup.events'), 'utf8')) && performance.now() < deadline)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
}
