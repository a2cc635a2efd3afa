/** Which strategy an app has where both work: a port is steered or shared, and never both at once. */
import '../../support/namespace.ts'
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { app, appFolder, configWith, whoAnswers } from '../../support/app.ts'
import { asRoot } from '../../support/namespace.ts'
import { startNode } from '../../support/node.ts'

test('as root an app that asks for its socket is given it; from one way to the other takes an outage, and the receipt says so', {
  skip: asRoot,
}, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t, { bind: 'inherit' })
  const first = await node.deploy(folder)
  assert.equal(first.strategy, 'share')
  writeFileSync(join(folder, 'cutover.yaml'), configWith())
  await assert.rejects(node.deploy(folder), /v1 runs and was given its ports, and this release is to open them itself/)
  assert.equal(await whoAnswers(), 'v1')

  await node.operate('stop', app)
  const second = await node.deploy(folder)
  assert.equal(second.strategy, 'steer')
  assert.ok(second.warnings.some((text) => /^strategy: steer from this release on; v1 has share$/.test(text)))
  assert.equal(await whoAnswers(), `v${second.release}`)

  writeFileSync(join(folder, 'cutover.yaml'), configWith({ bind: 'inherit' }))
  await assert.rejects(node.deploy(folder), /runs and opens its ports itself, and this release is to be given them/)
})
