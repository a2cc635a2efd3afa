/** After a power cut nothing runs and the kernel remembers nothing: what the next daemon makes of the files alone. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { HistoryEntry } from '../../src/core/documents.ts'
import { startInBackground } from '../../src/daemon/autostart.ts'
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

test(
  'after a power cut right after the cutover was written down, history says that the release does not run',
  options,
  async (t) => {
    const node = await startNode(t)
    const folder = appFolder(t)
    await node.deploy(folder)
    await node.killDaemon()
    const orders = {
      from: 'deploy',
      end: 'before the switch to the new release',
      record: join(node.place.home, 'points'),
    }
    await startInBackground(node.place, [process.execPath, endingDaemon, JSON.stringify(orders)])
    await assert.rejects(node.deploy(folder), { kind: 'unknown' })
    await cutPower(node)
    const server = join(node.place.home, 'releases', app, 'v2', 'server.mjs')
    writeFileSync(server, 'process.exit(5)\n')

    const { found, active } = await node.app(app)
    assert.equal(active, 2)
    const says =
      'v2 was written down as live, and did not run any more when the daemon was started: it is started again'
    assert.ok(found?.includes(says), found ?? 'nothing was found')
    const ofRelease = async (kind: string) =>
      (await node.client.history(app)).filter((one) => one.kind === kind && one.release === 2)
    const [deploy] = await ofRelease('deploy')
    assert.deepEqual([deploy?.outcome, deploy?.text], ['failed', says])
    let start: HistoryEntry | undefined
    while (start?.outcome !== 'failed') [start] = await ofRelease('start')
    assert.match(start?.text ?? '', /\. v2 is the live release and does not run: clients are refused\./)
    await assert.rejects(ask(), { code: 'ECONNREFUSED' })
    writeFileSync(server, exampleServer)
    await appBecomes(node, ({ busy, releases }) => busy === null && releases.some(({ pids }) => pids.length > 0))
    assert.equal(await whoAnswers(), 'v2')
  },
)

const endingDaemon = fileURLToPath(new URL('../support/ending-daemon.ts', import.meta.url))
