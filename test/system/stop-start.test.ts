/** `stop-start`: an app that must never run twice. It is stopped, the next release is started, and whoever comes meanwhile waits. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { whoAnswers } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { answeredIn, assertNoneLost, type Fates, fatesTable, type Load, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { assertNothingLeft, errorOf, shopFolder, shopPort } from '../support/shop.ts'

const options = { skip: asRoot }

/** Ends at once where another one runs. Takes a while to come up. */
const lonelyServer = `
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
mkdirSync('alone/lock')
process.on('SIGTERM', () => {
  rmdirSync('alone/lock')
  process.exit()
})
await pause(500)
createServer((request, response) => response.end(process.env.CUTOVER_RELEASE + ' alone\\n')).listen(${shopPort})
`

const manyClients = (): Promise<Load> =>
  startLoad({ kind: 'short', port: shopPort, clients: 16, pauseMs: 5, timeoutMs: 60_000 })

/** A second release, and back again, under load. */
async function thereAndBack(node: TestNode, directory: string): Promise<Fates> {
  await node.deploy(directory)
  await using load = await manyClients()
  await load.until('there is load', (fates) => answeredIn(fates) > 100)
  const { release, standby } = { ...(await node.deploy(directory)), standby: (await node.settled('shop')).standby }
  assert.equal(release, 2)
  const back = await node.rollback('shop')
  assert.deepEqual([back.release, await whoAnswers()], [1, 'v1'])
  if (back.strategy === 'stop-start') assert.deepEqual([standby, (await node.app('shop')).standby], [[], []])
  await load.more(100)
  return await load.stop()
}

test(
  'an app that ends where it would run twice: with steer it never goes live, with stop-start and hold nobody is refused',
  options,
  async (t) => {
    const lonely = (keys: string) =>
      shopFolder(t, { config: `shared: [alone/]\ndeploy_timeout: 1m\n${keys}`, server: lonelyServer })
    const fates: Record<string, Fates> = {}
    await t.test('steer, of an app that may run twice', async (t) => {
      fates.steer = await thereAndBack(await startNode(t), shopFolder(t))
    })
    await t.test('steer, of one that may not', async (t) => {
      const node = await startNode(t)
      await node.deploy(lonely('strategy: steer'))
      const error = await errorOf(node.deploy(lonely('strategy: steer')))
      assert.match(error.message, /never went live/)
    })
    await t.test('stop-start, hold: 5s', async (t) => {
      fates['stop-start, hold: 5s'] = await thereAndBack(await startNode(t), lonely('exclusive: true\nhold: 5s'))
    })
    await t.test('stop-start, hold: 0s', async (t) => {
      fates['stop-start, hold: 0s'] = await thereAndBack(await startNode(t), lonely('strategy: stop-start\nhold: 0s'))
    })
    t.diagnostic(`\n${fatesTable(fates)}`)
    for (const [way, seen] of Object.entries(fates)) {
      if (way.endsWith('hold: 0s')) assert.ok(seen.refused + seen.reset > 0, 'without hold clients are refused')
      else assertNoneLost(seen)
    }
  },
)

test('a release that does not come up: the former one is started again at once, and says so', options, async (t) => {
  const node = await startNode(t)
  const directory = shopFolder(t, { config: 'exclusive: true\nhold: 30s' })
  const first = await cutover(['deploy', directory], { home: node.place.home })
  assert.equal(first.code, 0, first.stderr)
  const [before] = (await node.app('shop')).releases.flatMap(({ pids }) => pids)
  await using load = await manyClients()
  await load.until('there is load', (fates) => answeredIn(fates) > 100)
  const broken = shopFolder(t, { config: 'exclusive: true\nhold: 30s', server: 'process.exit(3)' })
  const { code, stderr } = await cutover(['deploy', broken], { home: node.place.home })
  assert.equal(code, 5, stderr)
  assert.match(stderr, /shop v2 did not start and never went live: .*exited with code 3/)
  assert.match(stderr, /Traffic is on v1, as before\. Traffic was taken from v1 for \d+\.\d s and given back to it\.\n/)
  assertNothingLeft(node, 2)
  const status = await node.app('shop')
  assert.deepEqual([status.active, status.strategy, status.busy], [1, 'stop-start', null])
  assert.notEqual(status.releases.find(({ release }) => release === 1)?.pids[0], before)
  await load.more(100)
  assertNoneLost(await load.stop())
  assert.match((await node.client.history('shop')).at(-1)?.text ?? '', /given back/)
})

test('the receipt counts the time in which nobody served', options, async (t) => {
  const node = await startNode(t)
  const directory = shopFolder(t, { config: 'exclusive: true' })
  await node.deploy(directory)
  const { code, stdout, stderr } = await cutover(['deploy', directory, '--json'], { home: node.place.home })
  assert.equal(code, 0, stderr)
  assert.match(stderr, /✓ stop +v1 has ended/)
  const receipt = JSON.parse(stdout)
  assert.equal(receipt.strategy, 'stop-start')
  assert.ok(receipt.cutover.off_ms > 0 && receipt.cutover.off_ms < receipt.cutover.total_ms)
  const restarted = await cutover(['restart', 'shop'], { home: node.place.home })
  assert.match(restarted.stdout, /shop v3 is live on :8080\. v2 was ended: cutover rollback\n.*nobody served for /)
})

test(
  'a daemon that is killed while nobody serves is followed by one that starts the former release again',
  options,
  async (t) => {
    const node = await startNode(t)
    const keys = 'exclusive: true\nhold: 30s'
    await node.deploy(shopFolder(t, { config: keys }))
    await using load = await manyClients()
    await load.until('there is load', (fates) => answeredIn(fates) > 100)
    const stopped = Promise.withResolvers<void>()
    const slow = shopFolder(t, { config: `${keys}\ndeploy_timeout: 60s`, server: 'setInterval(() => {}, 1000)' })
    const deploy = node.deploy(slow, (progress) => {
      if (progress.type === 'begin' && progress.step === 'start') stopped.resolve()
    })
    const unknown = assert.rejects(deploy, { kind: 'unknown' })
    await stopped.promise
    await node.killDaemon()
    await unknown
    const { found } = await node.app('shop')
    assert.match(found ?? '', /v1/)
    await load.more(100)
    assertNoneLost(await load.stop())
    assert.equal((await node.settled('shop')).active, 1)
  },
)
