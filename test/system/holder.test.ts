/** The process that keeps park is killed, alone or together with the daemon, while clients are served. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { identify, isAlive, sendSignal } from '../../src/linux/process.ts'
import { dumpTcp } from '../../src/linux/sock-diag.ts'
import { app, appFolder, port, whoAnswers } from '../support/app.ts'
import { assertNoneLost, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { eventually } from '../support/workspace.ts'

const options = { skip: asRoot }

const holdersOf = ({ cgroup }: TestNode) => cgroupPids(join(cgroup, 'holders'))
/** The app's own socket and park. */
const listeners = () => dumpTcp({ states: ['listen'], port }).length

async function servedNode(t: TestContext) {
  const node = await startNode(t)
  await node.deploy(appFolder(t))
  const load = await startLoad({ kind: 'short', port, clients: 8 })
  return { node, load }
}

async function killHolder(node: TestNode): Promise<void> {
  const [pid = 0, ...others] = holdersOf(node)
  assert.deepEqual(others, [])
  const holder = identify(pid)
  assert.ok(holder)
  sendSignal(holder, 'SIGKILL')
  await eventually(() => !isAlive(holder))
}

test('a holder that is killed is replaced while clients are served', options, async (t) => {
  const { node, load } = await servedNode(t)
  await using _load = load
  for (let times = 0; times < 3; times++) {
    await killHolder(node)
    await eventually(() => holdersOf(node).length === 1)
  }
  await node.deploy(appFolder(t))
  assert.equal(await whoAnswers(), 'v2')
  assertNoneLost(await load.stop())
})

test(
  'of a holder and a daemon that are killed nobody who is served hears, and the next daemon holds the port again',
  options,
  async (t) => {
    const { node, load } = await servedNode(t)
    await using _load = load
    await node.killDaemon()
    await killHolder(node)
    assert.equal(listeners(), 1)
    const { begun } = await load.snapshot()
    await load.until('clients go on', (fates) => fates.begun > begun + 100)
    await node.client.status()
    await eventually(() => listeners() === 2)
    assert.equal(holdersOf(node).length, 1)
    await node.deploy(appFolder(t))
    await node.rollback(app)
    assert.equal(await whoAnswers(), 'v1')
    assertNoneLost(await load.stop())

    // It holds as before: who comes while the release is down waits.
    const [worker = 0] = (await node.app(app)).releases.find(({ release }) => release === 1)?.pids ?? []
    await using after = await startLoad({ kind: 'short', port, clients: 2, pauseMs: 10 })
    const { answered } = await after.until('clients are served', (fates) => (fates.answered.v1 ?? 0) > 10)
    process.kill(worker, 'SIGKILL')
    await after.until('it serves again', (fates) => (fates.answered.v1 ?? 0) > (answered.v1 ?? 0) + 50)
    assert.equal((await after.stop()).refused, 0)
  },
)
