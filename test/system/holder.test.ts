/** The process that keeps park is killed, alone or together with the daemon, while clients are served. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { identify, isAlive, sendSignal } from '../../src/linux/process.ts'
import { dumpTcp } from '../../src/linux/sock-diag.ts'
import { app, appBecomes, appFolder, pidsOf, port, slowTheSecondTime, whoAnswers } from '../support/app.ts'
import { cutPower } from '../support/cut-power.ts'
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

    await assertHeld(node)
  },
)

test('so it is where the only worker was being started again in that moment', options, async (t) => {
  const node = await startNode(t)
  await node.deploy(appFolder(t, { hold: '30s' }, { 'server.mjs': slowTheSecondTime(2500) }))
  const [worker = 0] = pidsOf(await node.app(app), 1)
  process.kill(worker, 'SIGKILL')
  await eventually(() => workersOf(node).some((pid) => pid !== worker))
  await node.killDaemon()
  await killHolder(node)
  await node.client.status()
  await assertHeldOnceItServes(node)
})

test('so it is where all was killed, and then the daemon that was starting the app again', options, async (t) => {
  const node = await startNode(t)
  await node.deploy(appFolder(t, { hold: '30s' }, { 'server.mjs': slowTheSecondTime(2500) }))
  await cutPower(node)
  await node.client.status()
  await eventually(() => workersOf(node).length > 0)
  await node.killDaemon()
  await node.client.status()
  await assertHeldOnceItServes(node)
})

const workersOf = ({ cgroup }: TestNode) => cgroupPids(join(cgroup, `${app}.v1`))

async function assertHeldOnceItServes(node: TestNode): Promise<void> {
  await appBecomes(node, ({ busy, ports }) => busy === null && ports.some(({ addresses }) => addresses.length > 0))
  await eventually(() => holdersOf(node).length === 1)
  await assertHeld(node)
}

/** Who comes while the release is down waits. */
async function assertHeld(node: TestNode): Promise<void> {
  const [worker = 0] = pidsOf(await node.app(app), 1)
  await using load = await startLoad({ kind: 'short', port, clients: 2, pauseMs: 10, timeoutMs: 60_000 })
  const { answered } = await load.until('clients are served', (fates) => (fates.answered.v1 ?? 0) > 10)
  process.kill(worker, 'SIGKILL')
  await load.until('it serves again', (fates) => (fates.answered.v1 ?? 0) > (answered.v1 ?? 0) + 50)
  assert.equal((await load.stop()).refused, 0)
}
