/** A release of several workers: how many there are, how even their shares, and who starts one that ended. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { identify, sendSignal } from '../../src/linux/process.ts'
import { app, appBecomes, appFolder, ask, pidsOf } from '../support/app.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'

const skip = asRoot

test('connections one after another go to each worker alike, give or take one', { skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(appFolder(t, { workers: 3 }))
  const counts: Record<string, number> = {}
  for (let i = 0; i < 300; i++) {
    const who = await ask()
    counts[who] = (counts[who] ?? 0) + 1
  }
  const shares = Object.values(counts)
  assert.equal(shares.length, 3)
  assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, JSON.stringify(counts))
})

test('`workers: max` is one per core, and those of the standby are started again as well', { skip }, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t, { workers: 'max' })
  await node.deploy(folder)
  await node.deploy(folder)
  const before = await node.settled(app)
  const pids = pidsOf(before, 1)
  assert.equal(pids.length, availableParallelism())
  const worker = identify(pids[0] ?? 0)
  assert.ok(worker)
  sendSignal(worker, 'SIGKILL')
  const after = await appBecomes(
    node,
    (status) => pidsOf(status, 1).length === pids.length && !pidsOf(status, 1).includes(worker.pid),
  )
  const standby = after.releases.find(({ release }) => release === 1)
  assert.deepEqual([standby?.state, standby?.restarts], ['standby', 1])
  await node.rollback(app)
  const now = pidsOf(await node.app(app), 1)
  const answered = new Set<number>()
  for (let tries = 0; tries < 1000 && answered.size < now.length; tries++)
    answered.add(Number(/pid (\d+)/.exec(await ask())?.[1]))
  assert.deepEqual(answered, new Set(now))
})
