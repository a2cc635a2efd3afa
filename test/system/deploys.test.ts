/** Deploy after deploy under load: releases come and go, and no request goes with them. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { app, appBecomes, appFolder, port } from '../support/app.ts'
import { releasesInKernel } from '../support/kernel-part.ts'
import { answeredIn, assertNoneLost, fatesTable, lostIn, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { eventually } from '../support/workspace.ts'

const deploys = 50
const retain = 5

test(`${deploys} deploys in a row lose nothing, requests of 3 s included, and nothing of retired releases is left`, {
  skip: asRoot,
}, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t, { retain })
  await node.deploy(folder)
  await using short = await startLoad({ kind: 'short', port, clients: 16, pauseMs: 5 })
  await using slow = await startLoad({ kind: 'slow', port, clients: 8 })

  for (let release = 2; release <= deploys; release++) {
    const receipt = await node.deploy(folder)
    assert.equal(receipt.release, release)
    assert.equal(receipt.lost.listen_drops, 0)
  }
  const fates = { short: await short.stop(), slow: await slow.stop() }
  t.diagnostic(`\n${fatesTable(fates)}`)
  assertNoneLost(fates.short)
  assertNoneLost(fates.slow)
  assert.ok(Object.keys(fates.slow.answered).length >= 10, 'slow requests met too few releases')

  const { active, standby, releases } = await node.settled(app)
  assert.deepEqual([active, standby, releases.map(({ release }) => release)], [50, [49], [50, 49]])
  await eventually(() => directoriesOf(node).length === retain)
  assert.deepEqual(directoriesOf(node), ['v46', 'v47', 'v48', 'v49', 'v50'])
  assert.deepEqual(releasesInKernel(node), { inMaps: [49, 50], hooked: [49, 50] })
  assert.deepEqual(cgroupsOf(node), [`${app}.v49`, `${app}.v50`, 'holders'])

  const history = await node.client.history(app)
  const receipts = history.flatMap(({ receipt }) => receipt ?? [])
  assert.equal(receipts.length, deploys)
  assert.equal(
    receipts.reduce((sum, { lost }) => sum + lost.cut + lost.listen_drops, 0),
    0,
  )
  assert.equal(history.filter(({ kind, outcome }) => kind === 'retire' && outcome === 'done').length, deploys - 2)
})

test('what a retiring release still has after drain_timeout is cut, and counted in history', {
  skip: asRoot,
}, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t, { drain_timeout: '1s' })
  await node.deploy(folder)
  await using conversations = await startLoad({ kind: 'websocket', port, clients: 3 })
  await using kept = await startLoad({ kind: 'keep-alive', port, clients: 2, pauseMs: 20 })
  await conversations.until('all of them talk', ({ messages }) => (messages.v1 ?? 0) > 10)
  await kept.until('they ask', (fates) => answeredIn(fates) > 10)
  await appBecomes(node, ({ releases }) => releases[0]?.connections.open === 5)

  const left = await node.deploy(folder)
  assert.equal(left.remaining, 5, 'the receipt tells who is still with the release that was left')
  await pause(1500)
  assert.equal(lostIn(await conversations.snapshot()), 0, 'a standby keeps its connections for as long as they like')

  await node.deploy(folder)
  await node.settled(app)
  await conversations.until('they were cut', (talks) => lostIn(talks) === 3)
  await conversations.until('they talk again', ({ messages }) => (messages.v3 ?? 0) > 0)
  await kept.until('they were cut', (asks) => lostIn(asks) + asks.closedIdle === 2)
  await kept.until('they ask again', ({ answered }) => (answered.v3 ?? 0) > 0)

  const history = await node.client.history(app)
  const cuts = history
    .map(({ receipt }) => [receipt?.release, receipt?.lost.cut])
    .filter(([, cut]) => cut !== undefined)
  assert.deepEqual(
    cuts,
    [
      [1, 0],
      [2, 5],
      [3, 0],
    ],
    'the receipt of the deploy that left v1 has them',
  )
  const retired = history.find(({ kind, release }) => kind === 'retire' && release === 1)
  assert.match(retired?.text ?? '', /5 connections were still open after drain_timeout and were cut/)
})

const directoriesOf = ({ place }: TestNode): string[] =>
  readdirSync(join(place.home, 'releases', app), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .toSorted()

const cgroupsOf = ({ cgroup }: TestNode): string[] =>
  readdirSync(cgroup, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .toSorted()
