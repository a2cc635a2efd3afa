/** The bpffs is unmounted, or the pins in it are removed, under apps that run: the kernel forgets everything but their sockets. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { test } from 'node:test'
import { unmount } from '../../src/linux/mounts.ts'
import { app, appFolder, exampleServer, port, processesOf, whoAnswers } from '../support/app.ts'
import { pinsOf, releasesInKernel } from '../support/kernel-part.ts'
import { answeredIn, assertNoneLost, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'

test('after the bpffs was unmounted the next daemon steers what runs again, and nothing is lost', {
  skip: asRoot,
}, async (t) => {
  const node = await startNode(t)
  // A port that nobody declared is known again too.
  const metrics = "createServer((_, response) => response.end(name)).listen(9090, '127.0.0.1')"
  const folder = appFolder(t, { workers: 2 }, { 'server.mjs': `${exampleServer}\n${metrics}\n` })
  await node.deploy(folder)
  await node.deploy(folder)
  const before = await node.settled(app)
  await using load = await startLoad({ kind: 'short', port, pauseMs: 2 })
  await load.until('there is load', (fates) => answeredIn(fates) > 100)
  await node.killDaemon()
  const pins = pinsOf(node) ?? ''
  rmSync(pins, { recursive: true })
  unmount(`${node.place.home}/bpf`)
  const answered = answeredIn(await load.snapshot())
  await load.until('the active release goes on', (fates) => answeredIn(fates) > answered + 100)

  const after = await node.app(app)
  assert.deepEqual(processesOf(after), processesOf(before))
  const { text } = (await node.client.history(app)).at(-1) ?? {}
  assert.match(text ?? '', /the kernel no longer knew v1, v2 \(was the bpffs unmounted\?\); what runs is steered again/)
  assert.deepEqual(releasesInKernel(node), { inMaps: [1, 2], hooked: [1, 2] })
  assert.equal(await whoAnswers(9090), 'v2')
  const { steps } = await node.rollback(app)
  assert.deepEqual(
    steps.map(({ step }) => step),
    ['cutover'],
  )
  assert.deepEqual([await whoAnswers(), await whoAnswers(9090)], ['v1', 'v1'])
  assert.equal((await node.deploy(folder)).release, 3)
  assert.deepEqual([await whoAnswers(), await whoAnswers(9090)], ['v3', 'v3'])
  const fates = await load.stop()
  assertNoneLost(fates)
  assert.deepEqual(Object.keys(fates.answered).toSorted(), ['v1', 'v2', 'v3'])
})
