/** What a daemon takes of the machine that has nothing to do. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startLonelyDaemon } from '../support/lonely-daemon.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { deployTinyApps, memoryOf } from '../support/tiny-apps.ts'

const skip = asRoot || needs('python3')

test('a daemon at rest with 10 apps has at most 45 MB of memory of its own', { skip }, async (t) => {
  const node = await startNode(t, startLonelyDaemon)
  await deployTinyApps(t, node, 10)
  const daemon = await node.client.daemon()
  assert.ok(daemon)
  let least = Infinity
  for (let tries = 0; tries < 120 && least > 45; tries++) {
    await sleep(500)
    least = Math.min(least, memoryOf(daemon.pid).private)
  }
  assert.ok(least <= 45, `it has ${least.toFixed(1)} MB`)
  t.diagnostic(`${least.toFixed(1)} MB`)
  assert.equal((await node.client.status()).apps.length, 10, 'and it works')
})
