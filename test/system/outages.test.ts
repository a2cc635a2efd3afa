/** Outages: those that people ask for, and those that an app brings on itself. Nobody is kept waiting in vain, and nothing is left. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { identify, sendSignal } from '../../src/linux/process.ts'
import { listenersOn } from '../../src/linux/sock-diag.ts'
import { app, appBecomes, appFolder, ask, port, slowTheSecondTime, whoAnswers } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { exampleFolder } from '../support/examples.ts'
import { pinsOf } from '../support/kernel-part.ts'
import { answeredIn, assertNoneLost, fatesTable, lostIn, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { leftovers, leftoversOfDaemon, startNode, type TestNode } from '../support/node.ts'
import { eventually } from '../support/workspace.ts'

const options = { skip: asRoot }

test(
  'stop answers what is in flight, refuses clients at once, and keeps the port from everybody else',
  options,
  async (t) => {
    const node = await startNode(t)
    const folder = appFolder(t)
    await node.deploy(folder)
    await node.deploy(folder)
    await using slow = await startLoad({ kind: 'slow', port, clients: 4, slowMs: 1000 })
    await using short = await startLoad({ kind: 'short', port, clients: 4, pauseMs: 5 })
    await slow.until('requests are in flight', ({ pending }) => pending === 4)
    await short.until('there is load', (fates) => answeredIn(fates) > 50)

    await node.operate('stop', app)
    const fates = { slow: await slow.stop(), short: await short.stop() }
    for (const { reset, cut, wrong, timedOut } of Object.values(fates))
      assert.deepEqual({ reset, cut, wrong, timedOut }, { reset: 0, cut: 0, wrong: 0, timedOut: 0 }, fatesTable(fates))
    assert.ok(answeredIn(fates.slow) >= 4 && fates.short.refused > 0)

    await assert.rejects(ask(), { code: 'ECONNREFUSED' })
    assert.equal(listenersOn([port]).length > 0, true, 'the port is held')
    await assert.rejects(bind(), { code: 'EADDRINUSE' })
    const status = await node.app(app)
    assert.deepEqual([status.stopped, status.active, status.releases.flatMap(({ pids }) => pids)], [true, 2, []])
    await assert.rejects(node.operate('stop', app), { kind: 'refused', message: /is stopped already/ })

    assert.equal((await node.operate('start', app)).release, 2)
    assert.equal(await whoAnswers(), 'v2')
    await assert.rejects(node.operate('start', app), { kind: 'refused', message: /is not stopped: v2 is live/ })
  },
)

test('a stopped app goes live again by a deploy as well', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  await node.operate('stop', app)
  assert.equal((await node.deploy(folder)).release, 2)
  assert.equal(await whoAnswers(), 'v2')
  assert.equal((await node.app(app)).stopped, false)
})

test('connections that a stop cuts after drain_timeout are counted in its receipt', options, async (t) => {
  const node = await startNode(t)
  await node.deploy(appFolder(t, { drain_timeout: '500ms' }))
  await using _load = await startLoad({ kind: 'websocket', port, clients: 3 })
  await appBecomes(node, ({ releases }) => releases[0]?.connections.open === 3)
  assert.equal((await node.operate('stop', app)).lost.cut, 3)
})

test(
  'remove gives the port back and touches no other app; the last one leaves nothing in the kernel',
  options,
  async (t) => {
    const node = await startNode(t)
    const folder = appFolder(t)
    await node.deploy(folder)
    await node.deploy(folder)
    await node.deploy(exampleFolder(t, 'python'))
    await using load = await startLoad({ kind: 'short', port: 8081, clients: 4, pauseMs: 5 })

    await node.operate('remove', app)
    // The holder of the port has been killed, and ends a moment later.
    await eventually(() => holdersOf(node) === 1)
    await (await bind())[Symbol.asyncDispose]()
    await assert.rejects(node.app(app), { kind: 'refused', message: /There is no app example-node/ })
    for (const folder of ['releases', 'logs']) assert.ok(!existsSync(join(node.place.home, folder, app)), folder)
    const history = await node.client.history(app)
    assert.ok(history.some(({ kind, outcome }) => kind === 'remove' && outcome === 'done'))
    await load.until('the other one goes on', (fates) => answeredIn(fates) > 300)
    assertNoneLost(await load.stop())

    const pins = pinsOf(node) ?? ''
    assert.ok(existsSync(pins))
    await node.operate('remove', 'example-python')
    assert.deepEqual(leftovers(node.place.home, node.cgroup), [])
    assert.ok(!existsSync(pins))
    assert.deepEqual(listenersOn([port, 8081]), [])

    assert.equal((await node.deploy(folder)).release, 3, 'numbers are never used again')
    assert.equal(await whoAnswers(), 'v3')
  },
)

test(
  'daemon stop --all ends every app and leaves nothing; they stay stopped until they are started',
  options,
  async (t) => {
    const node = await startNode(t)
    await node.deploy(appFolder(t))
    await node.deploy(exampleFolder(t, 'python'))
    const { code, stdout } = await cutover(['daemon', 'stop', '--all', '--yes'], { home: node.place.home })
    assert.deepEqual([code, stdout], [0, 'Every app and the daemon have ended.\n'])
    assert.deepEqual(leftovers(node.place.home, node.cgroup), [])
    assert.deepEqual(leftoversOfDaemon(node.place), [])
    assert.deepEqual(listenersOn([port, 8081]), [])

    const { apps } = await node.client.status()
    assert.deepEqual(
      apps.map(({ app, stopped }) => [app, stopped]),
      [
        ['example-node', true],
        ['example-python', true],
      ],
    )
    await node.operate('start', app)
    assert.equal(await whoAnswers(), 'v1')
    await assert.rejects(ask('/', 8081), { code: 'ECONNREFUSED' })
  },
)

test(
  'a crash of the only worker refuses nobody, a second one neither: clients wait until it runs again',
  options,
  async (t) => {
    const node = await startNode(t)
    await node.deploy(appFolder(t, { hold: '20s' }))
    const clients = 8
    await using load = await startLoad({ kind: 'short', port, clients, pauseMs: 5 })
    for (let crash = 1; crash <= 2; crash++) {
      const before = answeredIn(await load.until('there is load', (fates) => answeredIn(fates) > 100))
      await killWorker(node)
      await load.until('it is answered again', (fates) => answeredIn(fates) > before + 200)
    }
    const fates = await load.stop()
    t.diagnostic(`\n${fatesTable({ short: fates })}`)
    assert.equal(fates.refused, 0)
    assert.ok(lostIn(fates) <= 2 * clients, 'at most what the crashed process was working on')
    const [release] = (await node.app(app)).releases
    assert.equal(release?.restarts, 2)
    const crashes = (await node.client.history(app)).filter(({ kind }) => kind === 'worker')
    assert.deepEqual(crashes.length, 1, 'history has the first of a row')
    assert.match(crashes[0]?.text ?? '', /was ended by SIGKILL; it is started again at once$/)
  },
)

test('hold counts for each crash anew, however long ago the last one was', options, async (t) => {
  const node = await startNode(t)
  await node.deploy(appFolder(t, { hold: '10s' }))
  await using load = await startLoad({ kind: 'short', port, clients: 4, pauseMs: 5 })
  await load.until('there is load', (fates) => answeredIn(fates) > 50)
  await killWorker(node)
  const again = answeredIn(await load.snapshot())
  await load.until('it is answered again', (fates) => answeredIn(fates) > again + 50)
  await pause(10_500)
  await killWorker(node)
  const before = answeredIn(await load.snapshot())
  await load.until('it is answered again', (fates) => answeredIn(fates) > before + 50)
  assert.equal((await load.stop()).refused, 0)
})

test('past hold new clients are refused, and those who waited are closed and counted', options, async (t) => {
  const node = await startNode(t)
  await node.deploy(appFolder(t, { hold: '1s' }, { 'server.mjs': slowTheSecondTime(12_000) }))
  const clients = 4
  for (let crash = 1; crash <= 2; crash++) {
    await killWorker(node)
    await using load = await startLoad({ kind: 'short', port, clients, pauseMs: 20 })
    await load.until('it answers again', (fates) => answeredIn(fates) > 50)
    const fates = await load.stop()
    t.diagnostic(`\n${fatesTable({ short: fates })}`)
    assert.equal(fates.reset + fates.cut, clients, 'each waited once, and was told')
    assert.ok(fates.refused > 0)
    assert.equal(fates.timedOut + fates.wrong, 0)
    assert.equal(await heldTooLong(node), crash * clients)
  }
})

/** Listens on the app's port, as a program that knows nothing of Cutover would. */
function bind(): Promise<AsyncDisposable> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(port, () => resolve(server))
  })
}

const holdersOf = ({ cgroup }: TestNode): number => cgroupPids(join(cgroup, 'holders')).length

/** `kill -9` of the active release's only worker; resolves when it is gone from the kernel. */
async function killWorker(node: TestNode): Promise<void> {
  const { active, releases } = await node.app(app)
  const [pid = 0, ...others] = releases.find(({ release }) => release === active)?.pids ?? []
  assert.deepEqual(others, [])
  const worker = identify(pid)
  assert.ok(worker)
  sendSignal(worker, 'SIGKILL')
  await eventually(() => identify(pid)?.startTime !== worker.startTime)
}

/** What history says of connections that were closed because they had waited for longer than `hold`. */
async function heldTooLong(node: TestNode): Promise<number> {
  const texts = (await node.client.history(app)).map(({ text }) => text)
  const counts = texts.map((text) => /^(\d+) connections had waited longer than hold/.exec(text)?.[1] ?? 0)
  return counts.reduce((sum: number, count) => sum + Number(count), 0)
}
