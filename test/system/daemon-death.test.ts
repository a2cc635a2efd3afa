/** The daemon is not on the data path: what its death, and the death of everything, do and do not do. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { HistoryEntry, StepName } from '../../src/core/documents.ts'
import { killCgroup, removeCgroup } from '../../src/linux/cgroup.ts'
import { untilEmpty } from '../../src/linux/cgroup-events.ts'
import { unmount } from '../../src/linux/mounts.ts'
import { identify, sendSignal } from '../../src/linux/process.ts'
import { listenersOn } from '../../src/linux/sock-diag.ts'
import { app, appFolder, ask, configWith, exampleServer, port, whoAnswers } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { exampleFolder } from '../support/examples.ts'
import { pinsOf, releasesInKernel } from '../support/kernel-part.ts'
import { answeredIn, assertNoneLost, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { eventually } from '../support/workspace.ts'

const options = { skip: asRoot }

test(
  'kill -9 of the daemon: traffic and logs go on, and the next daemon finds everything as it was',
  options,
  async (t) => {
    const node = await startNode(t)
    const folder = appFolder(t, {}, { 'server.mjs': `${exampleServer}\nsetInterval(() => console.log('tick'), 20)\n` })
    await node.deploy(folder)
    await node.deploy(folder)
    await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })
    await load.until('there is load', (fates) => answeredIn(fates) > 100)
    const before = await node.settled(app)

    await node.killDaemon()
    const ticked = ticks(node)
    const answered = answeredIn(await load.snapshot())
    await load.until('a thousand more are answered', (fates) => answeredIn(fates) > answered + 1000)
    await eventually(() => ticks(node) > ticked + 20)
    assert.equal(await node.client.daemon().catch(() => null), null, 'there is no daemon')

    const after = await node.app(app)
    assert.deepEqual(processesOf(after), processesOf(before))
    assert.deepEqual([after.active, after.standby], [2, [1]])
    assertNoneLost(await load.stop())
  },
)

test('connections accepted are counted on, daemon or no daemon', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })
  await load.until('there is load', (fates) => answeredIn(fates) > 100)
  await node.killDaemon()
  await load.until('there is more', (fates) => answeredIn(fates) > 500)
  await node.deploy(folder)
  await load.until('v2 answers', ({ answered }) => (answered.v2 ?? 0) > 100)
  const { answered } = await load.stop()
  const { releases } = await node.app(app)
  assert.deepEqual(
    Object.fromEntries(releases.map(({ release, connections }) => [`v${release}`, connections.accepted])),
    answered,
  )
})

test('the next daemon supervises, deploys and rolls back what the one before it started', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  await node.deploy(folder)
  await node.killDaemon()
  const [pid = 0] = pidsOf(await node.app(app), 2)
  const worker = identify(pid)
  assert.ok(worker)
  sendSignal(worker, 'SIGKILL')
  const restarted = await until(node, ({ releases }) =>
    releases.some(({ release, restarts }) => release === 2 && restarts === 1),
  )
  assert.notDeepEqual(pidsOf(restarted, 2), [pid])
  assert.equal(await whoAnswers(), 'v2')

  await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })
  assert.equal((await node.rollback(app)).release, 1)
  assert.equal((await node.deploy(folder)).release, 3)
  await node.killDaemon()
  assert.equal((await node.rollback(app)).release, 1)
  assertNoneLost(await load.stop())
})

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
      const deploy = await operationOf(node, 2)
      assert.deepEqual(
        [deploy.outcome, deploy.text],
        ['failed', 'the daemon ended during the deploy of v2; v1 is active'],
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

test(
  'a release that was retiring when the daemon died is retired by the next one, its requests answered',
  options,
  async (t) => {
    const node = await startNode(t)
    const folder = appFolder(t)
    await node.deploy(folder)
    await using slow = await startLoad({ kind: 'slow', port, clients: 4 })
    await slow.until('v1 has requests', ({ pending }) => pending === 4)
    await node.deploy(folder)
    await node.deploy(folder)
    await node.killDaemon()
    assert.ok(existsSync(join(node.cgroup, `${app}.v1`)), 'v1 still has its requests')

    const { releases } = await node.settled(app)
    assert.deepEqual(
      releases.map(({ release, state }) => [release, state]),
      [
        [3, 'active'],
        [2, 'standby'],
      ],
    )
    assert.ok(!existsSync(join(node.cgroup, `${app}.v1`)))
    const fates = await slow.stop()
    assertNoneLost(fates)
    assert.equal(fates.answered.v1, 4)
  },
)

test('daemon stop ends the daemon alone', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  await node.deploy(folder)
  const before = await node.settled(app)
  await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })
  const { code, stdout } = await cutover(['daemon', 'stop'], { home: node.place.home })
  assert.deepEqual([code, stdout], [0, 'The daemon has ended. Apps and traffic go on.\n'])
  await load.until('there is load without a daemon', (fates) => answeredIn(fates) > 500)
  assert.deepEqual(processesOf(await node.app(app)), processesOf(before))
  assert.equal((await node.rollback(app)).release, 1)
  assertNoneLost(await load.stop())
})

test(
  'after a power cut the active release is started again, and what was stopped stays stopped',
  options,
  async (t) => {
    const node = await startNode(t)
    const folder = appFolder(t)
    await node.deploy(folder)
    await node.deploy(folder)
    await node.deploy(exampleFolder(t, 'python'))
    await node.operate('stop', 'example-python')
    await node.settled(app)
    await cutPower(node)
    await assert.rejects(ask(), { code: 'ECONNREFUSED' })

    const back = await until(
      node,
      ({ releases, busy }) => busy === null && releases.some(({ pids }) => pids.length > 0),
    )
    assert.equal(await whoAnswers(), 'v2')
    assert.deepEqual([back.active, back.standby], [2, []])
    const history = await node.client.history(app)
    const [standby, start] = history.slice(-2)
    assert.match(standby?.text ?? '', /v1, standby, did not run any more/)
    assert.deepEqual([start?.kind, start?.release, start?.outcome, start?.by.name], ['start', 2, 'done', 'the daemon'])

    const stopped = await node.app('example-python')
    assert.deepEqual([stopped.stopped, stopped.releases.map(({ pids }) => pids)], [true, [[]]])
    await assert.rejects(ask('/', 8081), { code: 'ECONNREFUSED' })
    await node.operate('start', 'example-python')
    assert.equal(await whoAnswers(8081), 'v1')
    assert.deepEqual(
      (await node.rollback(app)).steps.map(({ step }) => step),
      ['start', 'healthy', 'cutover'],
    )
    assert.equal(await whoAnswers(), 'v1')
  },
)

test('after a power cut an app that cannot start yet is tried again until it can', options, async (t) => {
  const node = await startNode(t)
  await node.deploy(appFolder(t))
  await node.settled(app)
  const server = join(node.place.home, 'releases', app, 'v1', 'server.mjs')
  writeFileSync(server, 'process.exit(5)\n')
  await cutPower(node)
  await node.client.status()
  for (;;) {
    const failed = (await node.client.history(app)).filter(
      ({ kind, outcome }) => kind === 'start' && outcome === 'failed',
    )
    if (failed.length >= 2) break
  }
  writeFileSync(server, exampleServer)
  await until(node, ({ releases, busy }) => busy === null && releases.some(({ pids }) => pids.length > 0))
  assert.equal(await whoAnswers(), 'v1')
})

test('a command that waited for the daemon that died says so, and exits with 6', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t, { build: 'sleep 60' })
  const { home } = node.place
  const waiting = cutover(['deploy'], { home, cwd: folder })
  await until(node, ({ busy }) => busy !== null)
  await eventually(() => existsSync(join(node.cgroup, `${app}.v1`, 'build')))
  await node.killDaemon()
  const { code, stderr } = await waiting
  assert.equal(code, 6, stderr)
  assert.match(stderr, /The daemon went away while the deploy ran.*cutover history/s)
})

type App = Awaited<ReturnType<TestNode['app']>>

const processesOf = ({ releases }: App) => releases.map(({ release, state, pids }) => [release, state, pids])

const pidsOf = ({ releases }: App, number: number) => releases.find(({ release }) => release === number)?.pids ?? []

const ticks = ({ place }: TestNode): number =>
  readFileSync(join(place.home, 'logs', app, 'v2.log'), 'utf8').split('tick').length

/** Looks at the app, if there is one yet, until it is as wanted. */
async function until(node: TestNode, wanted: (status: App) => boolean): Promise<App> {
  for (let tries = 0; tries < 600; tries++) {
    const { apps } = await node.client.status()
    const found = apps.find((one) => one.app === app)
    if (found && wanted(found)) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the app did not become so within 30 s')
}

async function operationOf(node: TestNode, release: number): Promise<HistoryEntry> {
  const found = (await node.client.history(app)).find((one) => one.kind === 'deploy' && one.release === release)
  assert.ok(found)
  return found
}

/** Deploys, and kills the daemon as soon as that step has begun. */
function killedDuring(node: TestNode, folder: string, step: StepName): Promise<unknown> {
  return node.deploy(folder, (progress) => {
    if (progress.type === 'begin' && progress.step === step) void node.killDaemon()
  })
}

/** Leaves what a power cut leaves: files, and nothing else. */
async function cutPower(node: TestNode): Promise<void> {
  const pins = pinsOf(node)
  await node.killDaemon()
  killCgroup(node.cgroup)
  await untilEmpty(node.cgroup, AbortSignal.timeout(10_000))
  if (pins !== null) rmSync(pins, { recursive: true, force: true })
  removeCgroup(node.cgroup)
  unmount(join(node.place.home, 'bpf'))
}
