/** The daemon is not on the data path: what its death does and does not do. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { cgroupPids, killCgroup } from '../../src/linux/cgroup.ts'
import { identify, sendSignal } from '../../src/linux/process.ts'
import { app, appBecomes, appFolder, exampleServer, pidsOf, port, processesOf, whoAnswers } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
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
  const restarted = await appBecomes(node, ({ releases }) =>
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

test(
  'a release that was retiring when the daemon died is retired by the next one, its requests answered',
  options,
  async (t) => {
    const node = await startNode(t)
    const folder = appFolder(t)
    await node.deploy(folder)
    await using slow = await startLoad({ kind: 'slow', port, clients: 4, slowMs: 8000, timeoutMs: 60_000 })
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
    // More where the next deploy took longer than a request.
    assert.ok((fates.answered.v1 ?? 0) >= 4)
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
  'a daemon in the foreground that is killed leaves its lock to the next, whatever it had started',
  options,
  async (t) => {
    const node = await startNode(t)
    await node.deploy(appFolder(t))
    await node.killDaemon()
    const holders = join(node.cgroup, 'holders')
    killCgroup(holders)
    await eventually(() => cgroupPids(holders).length === 0)
    const ran = cutover(['daemon'], { home: node.place.home })
    await eventually(() => cgroupPids(holders).length > 0)
    await node.killDaemon()
    await ran
    assert.equal((await node.app(app)).active, 1)
  },
)

const ticks = ({ place }: TestNode): number =>
  readFileSync(join(place.home, 'logs', app, 'v2.log'), 'utf8').split('tick').length
