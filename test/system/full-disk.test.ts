/** A disk without room stops no app and loses no request: what cannot be done is told, and done once there is room again. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { openHome } from '../../src/store/home.ts'
import { assertNoneLost, lostIn } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { assertFailed, assertNothingLeft, errorOf, goodServer, lightLoad, shopFolder } from '../support/shop.ts'

const skip = asRoot

/** A node whose home is on a disk of its own, of 48 MB: Cutover keeps 16 MB free beside a copy. */
async function startOnSmallDisk(t: TestContext): Promise<TestNode> {
  const disk = mkdtempSync(join(tmpdir(), 'cutover-disk-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'none', disk])
  try {
    return await startNode(t, undefined, disk)
  } finally {
    t.after(() => {
      execFileSync('umount', ['--lazy', disk])
      rmSync(disk, { recursive: true })
    })
  }
}

/** Takes all the room that is left on the node's disk, the database's own reserve included. */
function fill({ place }: TestNode): string {
  const filler = join(place.home, 'filler')
  using database = new DatabaseSync(openHome(place.home).database, { timeout: 5000 })
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  writeFileSync(filler, '')
  for (let size = 1_000_000; size >= 1000; size /= 10) {
    try {
      for (;;) writeFileSync(filler, Buffer.alloc(size), { flag: 'a' })
    } catch {
      // No room for that much: less may still fit.
    }
  }
  assert.equal(statfsSync(place.home).bavail, 0)
  return filler
}

test('where there is no room for a release', { skip }, async (t) => {
  const node = await startOnSmallDisk(t)
  await node.deploy(shopFolder(t))
  await using load = await lightLoad()

  await t.test('nothing is copied', async (t) => {
    const folder = shopFolder(t)
    writeFileSync(join(folder, 'video'), Buffer.alloc(60_000_000, 'x'))
    const error = await errorOf(node.deploy(folder))
    assert.equal(error.kind, 'failed')
    assert.match(error.message, /not enough room.* MB are needed.* MB are free.*Traffic is on v1, as before\.$/s)
    await assertFailed(node, { release: 2, active: 1, reason: /not enough room/ })
  })

  await t.test('a build that fills the disk fails, and the room is there again', async (t) => {
    const error = await errorOf(node.deploy(shopFolder(t, { config: 'build: sh -c "head -c 1G /dev/zero > big"' })))
    assert.equal(error.kind, 'failed')
    assert.match(error.message, /was not built.*Traffic is on v1, as before\./s)
    await assertFailed(node, { release: 3, active: 1, reason: /was not built/ })
    assert.ok(statfsSync(node.place.home).bavail * statfsSync(node.place.home).bsize > 40_000_000)
  })

  await t.test(
    'a release that fills the disk with its log fails, and the next one goes live when there is room',
    async (t) => {
      const chatty = `
      import { writeSync } from 'node:fs'
      for (;;) writeSync(1, 'x'.repeat(65_536))`
      const error = await errorOf(node.deploy(shopFolder(t, { server: chatty })))
      assert.equal(error.kind, 'failed')
      assert.match(error.message, /exited with code 1.*Traffic is on v1, as before\./s)
      assertNothingLeft(node, 4)
      rmSync(join(node.place.home, 'logs', 'shop', 'v4.log'))
      while ((await node.app('shop')).releases.some(({ state }) => state === 'starting')) await pause(50)
      await assertFailed(node, { release: 4, active: 1, reason: /exited with code 1/ })
    },
  )

  const fates = await load.stop()
  assertNoneLost(fates)
  assert.deepEqual(Object.keys(fates.answered), ['v1'])
})

test('where not even the state can be written', { skip }, async (t) => {
  const node = await startOnSmallDisk(t)
  await node.deploy(shopFolder(t))
  await node.deploy(shopFolder(t, { config: 'hold: 1m' }))
  const daemon = readFileSync(node.place.lock, 'utf8')
  await using load = await lightLoad()
  const filler = fill(node)

  await t.test('a deploy and a rollback fail before they change anything, and say why', async (t) => {
    for (const attempt of [() => node.deploy(shopFolder(t)), () => node.rollback('shop')]) {
      const error = await errorOf(attempt())
      assert.equal(error.kind, 'failed')
      assert.match(error.message, /could not be written: .*full/)
    }
    assert.equal((await node.app('shop')).active, 2)
    assert.equal((await node.app('shop')).busy, null)
  })

  await t.test('a worker that crashes is started again all the same', async () => {
    const before = (await node.app('shop')).releases.find(({ release }) => release === 2)
    assert.equal(before?.pids.length, 1)
    process.kill(before.pids[0] ?? 0, 'SIGKILL')
    for (;;) {
      const now = (await node.app('shop')).releases.find(({ release }) => release === 2)
      if (now?.restarts === 1 && now.note === null) break
      await pause(50)
    }
    const { answered } = await load.snapshot()
    await load.until('it answers again', (fates) => (fates.answered.v2 ?? 0) > (answered.v2 ?? 0))
  })

  await t.test('everything works again when there is room, and the daemon was there all the while', async (t) => {
    const fates = await load.stop()
    assert.equal(fates.refused, 0)
    assert.ok(lostIn(fates) <= 3, 'more was lost than the worker that was killed had at hand')
    rmSync(filler)
    await using again = await lightLoad()
    const { release } = await node.deploy(shopFolder(t, { server: goodServer }))
    await again.until('the new release answers', ({ answered }) => (answered[`v${release}`] ?? 0) > 0)
    await node.rollback('shop')
    assert.equal((await node.app('shop')).active, 2)
    assertNoneLost(await again.stop())
    assert.equal(readFileSync(node.place.lock, 'utf8'), daemon)
  })
})
