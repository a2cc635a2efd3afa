import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { adoptInstance, type InstanceEvent } from '../../src/instances/instance.ts'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { processStat } from '../../src/linux/proc.ts'
import { isAlive, sendSignal } from '../../src/linux/process.ts'
import { asRoot } from '../support/namespace.ts'
import { eventually } from '../support/workspace.ts'
import { path, specOf, start } from './worker.ts'

const skip = asRoot
const sleeper = ['sh', '-c', 'echo up; exec sleep 1000']

test('each worker runs in a cgroup and a session of its own, in the directory of the release', { skip }, async (t) => {
  const spec = specOf(t, ['sh', '-c', 'echo $CUTOVER_WORKER in $PWD; exec sleep 1000'], { workers: 3 })
  const { instance, logged } = await start(t, spec)
  for (const { worker, identity } of instance.workers()) {
    assert.ok(identity)
    assert.deepEqual(cgroupPids(join(spec.cgroup, `w${worker}`)), [identity.pid])
    assert.equal(processStat(identity.pid)?.session, identity.pid)
    await logged(`${worker} in ${spec.directory}`)
  }
  assert.equal(instance.pids().length, 3)
})

test('stopping leaves no process and no cgroup of a worker, and tells each exit before it is done', {
  skip,
}, async (t) => {
  const spec = specOf(t, ['sh', '-c', 'sleep 1000 & sleep 1000 & echo up; wait'], { workers: 2 })
  const { instance, events, logged, log } = await start(t, spec)
  await logged('up')
  const pids = instance.pids()
  await instance.stop()
  assert.deepEqual(
    readdirSync(spec.cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory()),
    [],
  )
  assert.ok(pids.every((pid) => 'ZX'.includes(processStat(pid)?.state ?? 'X')))
  assert.deepEqual(
    events.map((event) => event.type === 'exit' && [event.worker, event.status.signal, event.restartInMs]).sort(),
    [
      [1, 'SIGTERM', null],
      [2, 'SIGTERM', null],
    ],
  )
  assert.match(log(), /^cutover: worker 1 \(pid \d+\) was ended by SIGTERM$/m)
})

test('an app that ignores SIGTERM is killed when stop_timeout is over', { skip }, async (t) => {
  const spec = specOf(t, ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 1000; done'], { stopTimeoutMs: 100 })
  const { instance, events, logged } = await start(t, spec)
  await logged('up')
  await instance.stop()
  assert.equal(events[0]?.type === 'exit' && events[0].status.signal, 'SIGKILL')
})

test('stop signals come in their order, with their waits, and stopped processes are continued for them', {
  skip,
}, async (t) => {
  const script = `process.on('SIGQUIT', () => console.log('quit')); process.on('SIGTERM', () => { console.log('term'); process.exit(3) })
    setInterval(() => {}, 1000); console.log('up')`
  const spec = specOf(t, [process.execPath, '-e', script], {
    stop: [
      { signal: 'SIGQUIT', waitMs: 1000 },
      { signal: 'SIGTERM', waitMs: 0 },
    ],
  })
  const { instance, events, logged, log } = await start(t, spec)
  await logged('up')
  process.kill(instance.pids()[0] ?? 0, 'SIGSTOP')
  await instance.stop()
  assert.match(log(), /up\nquit\nterm\n/)
  assert.deepEqual(events[0]?.type === 'exit' && events[0].status, { code: 3, signal: null })
})

test('a worker that exits is started again: at once the first time, later the second', { skip }, async (t) => {
  const { instance, events, logged, log, told } = await start(t, specOf(t, ['sh', '-c', 'echo up; exec sleep 1000']))
  instance.keepAlive()
  await logged('up')
  for (const count of [1, 2]) {
    process.kill(instance.workers()[0]?.identity?.pid ?? 0, 'SIGKILL')
    await told('started', count)
  }
  assert.deepEqual(
    events.flatMap((event) => (event.type === 'exit' ? [event.restartInMs] : [])),
    [0, 1000],
  )
  assert.equal(instance.workers()[0]?.restarts, 2)
  assert.match(log(), /^cutover: worker 1 \(pid \d+\) was ended by SIGKILL; starts again in 1 s$/m)
})

test('what a dead worker left running is gone before it is started again', { skip }, async (t) => {
  const spec = specOf(t, ['sh', '-c', 'setsid sh -c "trap : TERM HUP; while :; do sleep 1000; done" & echo up; wait'])
  const { instance, logged, told } = await start(t, spec)
  instance.keepAlive()
  await logged('up')
  const before = await eventually(() => (instance.pids().length === 3 ? instance.pids() : null))
  process.kill(instance.workers()[0]?.identity?.pid ?? 0, 'SIGKILL')
  await told('started')
  assert.ok(before.every((pid) => !instance.pids().includes(pid)))
})

test('a candidate that exits is not started again, until it is to be kept alive', { skip }, async (t) => {
  const { instance, events, told } = await start(t, specOf(t, ['sh', '-c', 'sleep 0.1; exit 4']))
  await told('exit')
  assert.deepEqual(events[0]?.type === 'exit' && [events[0].status.code, events[0].restartInMs], [4, null])
  assert.equal(instance.workers()[0]?.identity, null)
  instance.keepAlive()
  await told('started')
})

test('nothing is started any more once it is being stopped', { skip }, async (t) => {
  const spec = specOf(t, ['sh', '-c', 'exit 1'])
  const { instance, events, told } = await start(t, spec)
  instance.keepAlive()
  await told('exit', 2)
  await instance.stop()
  const count = events.length
  assert.deepEqual(instance.pids(), [])
  await new Promise((resolve) => setTimeout(resolve, 1500))
  assert.equal(events.length, count)
  assert.equal(existsSync(join(spec.cgroup, 'w1')), false)
})

test('a worker that cannot be started again says why and is tried again', { skip }, async (t) => {
  let broken = false
  const spec = specOf(t, sleeper, { environment: () => ({ PATH: broken ? '/nowhere' : path }) })
  const { instance, events, logged, told } = await start(t, spec)
  instance.keepAlive()
  await logged('up')
  broken = true
  sendSignal(instance.workers()[0]?.identity ?? { pid: 0, startTime: 0 }, 'SIGKILL')
  await told('unstartable')
  broken = false
  await told('started')
  const event = events.find(({ type }) => type === 'unstartable')
  assert.match(event?.type === 'unstartable' ? event.reason : '', /"sh" was not found in PATH, which is \/nowhere/)
})

test('a second worker that cannot be started takes the first one with it', { skip }, async (t) => {
  const spec = specOf(t, sleeper, { workers: 2, environment: (worker) => ({ PATH: worker === 1 ? path : '/nowhere' }) })
  await assert.rejects(start(t, spec), { name: 'CutoverError', kind: 'failed' })
  assert.deepEqual(cgroupPids(spec.cgroup), [])
  assert.equal(existsSync(join(spec.cgroup, 'w1')), false)
})

test('an app that prints 100 MB does so without the daemon', { skip }, async (t) => {
  const { told, log, events } = await start(t, specOf(t, ['sh', '-c', 'head -c 100000000 /dev/zero | tr "\\0" "a"']))
  await told('exit')
  assert.equal(events[0]?.type === 'exit' && events[0].status.code, 0)
  const text = log()
  assert.equal(text.indexOf('\ncutover: worker 1'), 100_000_000)
})

test('the next daemon takes over what a killed one left, and learns how it ends', { skip }, async (t) => {
  const spec = specOf(t, sleeper, { workers: 2 })
  const script = `
    import { startInstance } from '${import.meta.resolve('../../src/instances/instance.ts')}'
    const spec = ${JSON.stringify(spec)}
    const instance = await startInstance({ ...spec, environment: () => ({ PATH: ${JSON.stringify(path)} }) }, () => {})
    instance.keepAlive()
    console.log(JSON.stringify(instance.workers()))`
  const daemon = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => daemon.kill('SIGKILL'))
  const [line] = await once(daemon.stdout, 'data')
  const workers = JSON.parse(String(line))
  daemon.kill('SIGKILL')
  await once(daemon, 'exit')

  const events: InstanceEvent[] = []
  const instance = adoptInstance(spec, workers, (event) => events.push(event))
  t.after(() => instance.stop())
  instance.keepAlive()
  assert.ok(instance.workers().every(({ identity }) => identity && isAlive(identity)))
  process.kill(workers[0].identity.pid, 'SIGTERM')
  await eventually(() => events.some(({ type }) => type === 'started'))
  assert.deepEqual(events[0], {
    type: 'exit',
    worker: 1,
    pid: workers[0].identity.pid,
    status: { code: null, signal: 'SIGTERM' },
    restartInMs: 0,
  })
  await instance.stop()
  assert.deepEqual(cgroupPids(spec.cgroup), [])
})

test('a worker that ended while no daemon lived is noticed and started again, whoever has its pid now', {
  skip,
}, async (t) => {
  const events: InstanceEvent[] = []
  const stranger = { pid: process.pid, startTime: 1 }
  const spec = specOf(t, sleeper)
  const { instance: first, logged } = await start(t, spec)
  await logged('up')
  await first.stop()
  const instance = adoptInstance(spec, [{ worker: 1, identity: stranger, restarts: 2 }], (event) => events.push(event))
  t.after(() => instance.stop())
  instance.keepAlive()
  await eventually(() => events.length === 2)
  assert.deepEqual(events[0], {
    type: 'exit',
    worker: 1,
    pid: process.pid,
    status: { code: null, signal: null },
    restartInMs: 0,
  })
  assert.equal(instance.workers()[0]?.restarts, 3)
})

test('an instance that was given up goes on, and tells nothing', { skip }, async (t) => {
  const spec = specOf(t, sleeper)
  const { instance, events, logged } = await start(t, spec)
  await logged('up')
  const [worker] = instance.workers()
  assert.ok(worker?.identity)
  instance.abandon()
  assert.equal(isAlive(worker.identity), true)
  sendSignal(worker.identity, 'SIGKILL')
  const identity = worker.identity
  await eventually(() => !isAlive(identity))
  assert.deepEqual(events, [])
  assert.equal(readFileSync(spec.logFile, 'utf8'), 'up\n')
})
