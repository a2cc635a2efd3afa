/** An app of an ordinary user that must never run twice: the former release ends before the next one begins. */
import '../../support/ordinary.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { appFolder, port } from '../../support/app.ts'
import { assertNoneLost, startLoad } from '../../support/load.ts'
import { startNode } from '../../support/node.ts'

test('what is in flight is answered by the release that is to end, and whoever comes waits for the next', async (t) => {
  const node = await startNode(t)
  // Half of `hold` is more than a slow answer takes.
  const folder = appFolder(t, { exclusive: true, hold: '20s', bind: 'inherit' })
  await node.deploy(folder)
  await using load = await startLoad({ kind: 'slow', port, protocol: 'http/1.1', clients: 8 })
  await pause(500)
  const receipt = await node.deploy(folder)
  assert.deepEqual([receipt.strategy, receipt.lost.cut], ['stop-start', 0])
  const fates = await load.stop()
  assertNoneLost(fates)
  assert.deepEqual(Object.keys(fates.answered).sort(), ['v1', 'v2'])
})
