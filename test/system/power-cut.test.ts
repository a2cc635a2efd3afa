/** After a power cut nothing runs and the kernel remembers nothing: what the next daemon makes of the files alone. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { app, appBecomes, appFolder, ask, exampleServer, slowTheSecondTime, whoAnswers } from '../support/app.ts'
import { cutPower } from '../support/cut-power.ts'
import { exampleFolder } from '../support/examples.ts'
import { asRoot } from '../support/namespace.ts'
import { leftovers, startNode } from '../support/node.ts'

const options = { skip: asRoot }

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

    const back = await appBecomes(
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
  await appBecomes(node, ({ releases, busy }) => busy === null && releases.some(({ pids }) => pids.length > 0))
  assert.equal(await whoAnswers(), 'v1')
})

test('daemon stop --all ends an app that is just being brought back, and it stays stopped', options, async (t) => {
  const node = await startNode(t)
  await node.deploy(appFolder(t, {}, { 'server.mjs': slowTheSecondTime(60_000) }))
  await cutPower(node)
  await appBecomes(node, ({ busy }) => busy !== null)
  await node.client.stopDaemon(true)
  assert.deepEqual(leftovers(node.place.home, node.cgroup), [])
  assert.equal((await node.app(app)).stopped, true)
})
