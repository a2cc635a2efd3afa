/** `kill -9` of the daemon in the middle of something: the next one finishes it, or undoes it, and says so. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { HistoryEntry, OperationKind, StepName } from '../../src/core/documents.ts'
import { startInBackground } from '../../src/daemon/autostart.ts'
import { identify, sendSignal } from '../../src/linux/process.ts'
import { dumpTcp, listenersOn } from '../../src/linux/sock-diag.ts'
import {
  app,
  appBecomes,
  appFolder,
  ask,
  configWith,
  exampleServer,
  pidsOf,
  port,
  slowTheSecondTime,
  whoAnswers,
} from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { exampleFolder } from '../support/examples.ts'
import { releasesInKernel } from '../support/kernel-part.ts'
import { answeredIn, assertNoneLost, lostIn, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { eventually } from '../support/workspace.ts'

const options = { skip: asRoot }

const cutShort: readonly {
  readonly step: StepName
  readonly keys?: Record<string, unknown>
  readonly server?: string
}[] = [
  { step: 'build', keys: { build: 'sleep 60' } },
  { step: 'start', server: 'setInterval(() => {}, 1000)\n' },
  { step: 'healthy', keys: { health: { command: 'sleep 60' } } },
]

for (const { step, keys = {}, server = exampleServer } of cutShort) {
  test(
    `kill -9 of the daemon during the step ${step}: the deploy failed, and nothing of it is left`,
    options,
    async (t) => {
      const node = await startNode(t)
      const folder = appFolder(t)
      await node.deploy(folder)
      await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })
      writeFileSync(join(folder, 'cutover.yaml'), configWith(keys))
      writeFileSync(join(folder, 'server.mjs'), server)
      await assert.rejects(killedDuring(node, folder, step), {
        kind: 'unknown',
        message: /^The daemon went away while the deploy ran/,
      })

      const { active, busy, releases } = await node.app(app)
      assert.deepEqual([active, busy], [1, null])
      const [failed] = releases
      assert.deepEqual([failed?.release, failed?.state, failed?.pids], [2, 'failed', []])
      assert.match(failed?.note ?? '', /the daemon ended before the cutover/)
      const deploy = await operationOf(node, 'deploy', 2)
      assert.deepEqual(
        [deploy.outcome, deploy.text],
        ['failed', `v2 never went live, and v1 is active: the daemon ended before the cutover, in the step ${step}`],
      )
      assert.deepEqual(
        [existsSync(join(node.cgroup, `${app}.v2`)), existsSync(join(node.place.home, 'releases', app, 'v2'))],
        [false, false],
      )
      assert.deepEqual(releasesInKernel(node), { inMaps: [1], hooked: [1] })

      writeFileSync(join(folder, 'cutover.yaml'), configWith())
      writeFileSync(join(folder, 'server.mjs'), exampleServer)
      assert.equal((await node.deploy(folder)).release, 3)
      assertNoneLost(await load.stop())
    },
  )
}

test('kill -9 of the daemon during a first deploy: the port is free again', options, async (t) => {
  const node = await startNode(t)
  const other = exampleFolder(t, 'python')
  await node.deploy(other)
  const folder = appFolder(t, { health: { command: 'sleep 60' } })
  await assert.rejects(killedDuring(node, folder, 'healthy'), { kind: 'unknown' })
  assert.equal((await node.app(app)).active, null)
  assert.deepEqual(listenersOn([port]), [])
  await assert.rejects(ask(), { code: 'ECONNREFUSED' })
  assert.equal(await whoAnswers(8081), 'v1')
})

test('during a rollback that starts a release anew: it is given up, and can be tried again', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t, { standby: { keep: 0 } }, { 'server.mjs': slowTheSecondTime(60_000) })
  await node.deploy(folder)
  await node.deploy(folder)
  await node.settled(app)
  await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })
  const rollback = assert.rejects(node.rollback(app), { kind: 'unknown' })
  await eventually(() => existsSync(join(node.cgroup, `${app}.v1`, 'w1')))
  await node.killDaemon()
  await rollback

  const { active, busy } = await node.app(app)
  assert.deepEqual([active, busy], [2, null])
  const operation = await operationOf(node, 'rollback', 1)
  assert.deepEqual(
    [operation.outcome, operation.text],
    ['failed', 'v1 did not go live again, and v2 is active: the daemon ended before the cutover, in the step start'],
  )
  assert.ok(!existsSync(join(node.cgroup, `${app}.v1`)))
  rmSync(join(node.place.home, 'releases', app, 'v1', 'started'))
  assert.equal((await node.rollback(app)).release, 1)
  assertNoneLost(await load.stop())
})

test('during a stop: clients are refused, requests in flight are answered, and it is stopped', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  await node.deploy(folder)
  await using slow = await startLoad({ kind: 'slow', port, clients: 4 })
  await slow.until('requests are in flight', ({ pending }) => pending === 4)
  const stop = assert.rejects(node.operate('stop', app), { kind: 'unknown' })
  await slow.until('the stop has begun', ({ refused, answered }) => refused > 0 || (answered.v2 ?? 0) > 4)
  await node.killDaemon()
  await stop

  const { stopped } = await appBecomes(
    node,
    ({ busy, releases }) => busy === null && releases.every(({ pids }) => pids.length === 0),
  )
  assert.ok(stopped)
  const { answered, refused, ...rest } = await slow.stop()
  assert.deepEqual([rest.reset, rest.cut, rest.wrong, rest.timedOut], [0, 0, 0, 0])
  await assert.rejects(ask(), { code: 'ECONNREFUSED' })
  assert.ok(listenersOn([port]).length > 0, 'the port is held')
  assert.equal((await operationOf(node, 'stop', 2)).outcome, 'done')
  await node.operate('start', app)
  assert.equal(await whoAnswers(), 'v2')
})

test(
  'while the only worker is down as well: who waits is answered when the next daemon has started it',
  options,
  async (t) => {
    const node = await startNode(t)
    await node.deploy(appFolder(t, { hold: '30s' }))
    const clients = 8
    await using load = await startLoad({ kind: 'short', port, clients, pauseMs: 5 })
    await load.until('there is load', (fates) => answeredIn(fates) > 100)
    const [worker = 0] = pidsOf(await node.app(app), 1)
    await node.killDaemon()
    kill(worker)
    await load.until('all clients wait', ({ pending }) => pending === clients)
    await pause(500)
    const before = answeredIn(await load.snapshot())
    await appBecomes(node, ({ busy, releases }) => busy === null && releases.some(({ pids }) => pids.length > 0))
    await load.until('they are answered', (fates) => answeredIn(fates) > before + 100)
    const fates = await load.stop()
    assert.equal(fates.refused, 0)
    assert.ok(lostIn(fates) <= clients, 'at most what the worker was working on')
  },
)

test(
  'past hold clients are refused without any daemon; those who wait are closed and counted by the next',
  options,
  async (t) => {
    const node = await startNode(t)
    await node.deploy(appFolder(t, { hold: '1s' }, { 'server.mjs': slowTheSecondTime(3000) }))
    const [worker = 0] = pidsOf(await node.app(app), 1)
    await node.killDaemon()
    kill(worker)
    const clients = 4
    await using load = await startLoad({ kind: 'short', port, clients, pauseMs: 20 })
    await load.until('all clients wait', ({ pending }) => pending === clients)
    await pause(1500)
    await assert.rejects(ask(), { code: 'ECONNREFUSED' })
    const { pending, begun } = await load.snapshot()
    assert.deepEqual([pending, begun], [clients, clients], 'nobody is there to close them')

    await node.client.status()
    await load.until('it answers', (fates) => answeredIn(fates) > 50)
    const fates = await load.stop()
    assert.equal(fates.reset + fates.cut, clients)
    const texts = (await node.client.history(app)).map(({ text }) => text)
    assert.ok(texts.includes(`${clients} connections had waited longer than hold and were closed`), texts.join('\n'))
  },
)

test(
  'when connections of an older release are cut: they are counted once, in the receipt and in history',
  options,
  async (t) => {
    const node = await startNode(t)
    const folder = appFolder(t, { drain_timeout: '5s', standby: { keep: 0 } })
    await node.deploy(folder)
    await node.killDaemon()
    const orders = {
      from: 'deploy',
      end: 'before the kernel forgets the former release',
      record: join(node.place.home, 'points'),
    }
    const endingDaemon = fileURLToPath(new URL('../support/ending-daemon.ts', import.meta.url))
    await startInBackground(node.place, [process.execPath, endingDaemon, JSON.stringify(orders)])
    const socket = connect({ port, host: '127.0.0.1' }).on('error', () => {})
    t.after(() => socket.destroy())
    await once(socket, 'connect')
    // Half a request: nobody can answer it.
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n')
    const closed = once(socket.resume(), 'close')
    await eventually(() => openOn(port) > 0)
    await node.deploy(folder)
    await closed
    await eventually(() => node.daemon() === null)
    await node.settled(app)
    assert.equal((await operationOf(node, 'deploy', 2)).receipt?.lost.cut, 1)
    const retired = (await node.client.history(app)).filter(({ kind }) => kind === 'retire')
    assert.deepEqual(
      retired.map(({ text }) => text),
      [`${app} v1 is retired; 1 connections were still open after drain_timeout and were cut`],
    )
  },
)

/** Connections that somebody has accepted there. */
const openOn = (port: number) => dumpTcp({ states: ['established'], port }).filter(({ inode }) => inode !== 0).length

test('a command that waited for the daemon that died says so, and exits with 6', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t, { build: 'sleep 60' })
  const { home } = node.place
  const waiting = cutover(['deploy'], { home, cwd: folder })
  await appBecomes(node, ({ busy }) => busy !== null)
  await eventually(() => existsSync(join(node.cgroup, `${app}.v1`, 'build')))
  await node.killDaemon()
  const { code, stderr } = await waiting
  assert.equal(code, 6, stderr)
  assert.match(stderr, /The daemon went away while the deploy ran.*cutover history/s)
})

function kill(pid: number): void {
  const process = identify(pid)
  assert.ok(process)
  sendSignal(process, 'SIGKILL')
}

async function operationOf(node: TestNode, kind: OperationKind, release: number): Promise<HistoryEntry> {
  const found = (await node.client.history(app)).find((one) => one.kind === kind && one.release === release)
  assert.ok(found)
  return found
}

/** Deploys, and kills the daemon as soon as that step has begun. */
function killedDuring(node: TestNode, folder: string, step: StepName): Promise<unknown> {
  return node.deploy(folder, (progress) => {
    if (progress.type === 'begin' && progress.step === step) void node.killDaemon()
  })
}
