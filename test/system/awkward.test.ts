/** Apps that are awkward to run, and still are theirs: they go live, and when they are left nothing of them remains. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { identify, isAlive } from '../../src/linux/process.ts'
import { ask, whoAnswers } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { assertNothingLeft, errorOf, goodServer, lightLoad, logOf, shopFolder } from '../support/shop.ts'

const skip = asRoot

/** Some seconds, so that the suite stays quick; what counts is that they are many times what other apps take. */
const slowToStart = `
  import { setTimeout as pause } from 'node:timers/promises'
  await pause(5000)
  ${goodServer.replace('import {', 'const {').replace("from 'node:http'", "= await import('node:http')")}`

test('a release that takes long to start goes live when it is ready, and nobody waits for it', { skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  await using load = await lightLoad()
  const { cutover } = await node.deploy(shopFolder(t, { server: slowToStart, config: 'deploy_timeout: 5m' }))
  assert.ok(cutover && cutover.ready_ms > 5000)
  const fates = await load.until('the new release answers', ({ answered }) => (answered.v2 ?? 0) > 0)
  assert.ok(fates.longestMs < 5000, `somebody waited for ${fates.longestMs} ms`)
  assertNoneLost(await load.stop())
})

test('a release that ignores SIGTERM is ended by force after stop_timeout', { skip }, async (t) => {
  const node = await startNode(t)
  const stubborn = `${goodServer}\nprocess.on('SIGTERM', () => console.log('never'))`
  await node.deploy(shopFolder(t, { server: stubborn, config: 'stop_timeout: 1s' }))
  const [release] = (await node.app('shop')).releases
  const pids = release?.pids.map(identify) ?? []
  assert.equal(pids.length, 1)

  await using load = await lightLoad()
  await node.deploy(shopFolder(t, { config: 'standby: {keep: 0}' }))
  await node.settled('shop')
  assert.match(await logOf(node, 1), /^never$/m)
  assert.match(await logOf(node, 1), /was ended by SIGKILL/)
  for (const process of pids) assert.equal(process !== null && isAlive(process), false)
  assert.equal(existsSync(join(node.cgroup, 'shop.v1')), false)
  assertNoneLost(await load.stop())
})

test('what a release started in the background, in a session of its own, ends with it', { skip }, async (t) => {
  const node = await startNode(t)
  // A daemon as they are in the books: two forks and a session of its own, so that nobody is its parent.
  const begetting = `
    import { execFileSync } from 'node:child_process'
    const script = '(setsid sh -c "trap : TERM HUP; echo grandchild $$; while :; do sleep 1; done" &)'
    execFileSync('sh', ['-c', script], { stdio: ['ignore', 1, 2] })
    ${goodServer}`
  await node.deploy(shopFolder(t, { server: begetting, config: 'stop_timeout: 1s' }))
  const sessions = (await node.app('shop')).releases[0]?.pids.length ?? 0
  assert.ok(sessions >= 2, 'there is no grandchild')
  const family = (await node.app('shop')).releases[0]?.pids.map(identify) ?? []

  await node.deploy(shopFolder(t, { config: 'standby: {keep: 0}' }))
  await node.settled('shop')
  for (const process of family) assert.equal(process !== null && isAlive(process), false)
  assert.equal(existsSync(join(node.cgroup, 'shop.v1')), false)
})

const hundredMegabytes = `
  const line = 'x'.repeat(999) + '\\n'
  for (let i = 0; i < 100_000; i++) process.stdout.write(line)
  console.log('the last word')`

test('a release that prints 100 MB goes live, and the end of its log is there at once', { skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  await using load = await lightLoad()
  await node.deploy(shopFolder(t, { server: hundredMegabytes + goodServer, config: 'deploy_timeout: 5m' }))
  assert.equal(await whoAnswers(), 'v2')
  const log = join(node.place.home, 'logs', 'shop', 'v2.log')
  assert.ok(statSync(log).size > 100_000_000)
  const { stdout } = await cutover(['logs', 'shop', '-n', '2'], { home: node.place.home })
  assert.match(stdout, /^.*x{999}\n.*the last word\n$/)

  const noisy = `${hundredMegabytes}\nprocess.exit(1)`
  const error = await errorOf(node.deploy(shopFolder(t, { server: noisy, config: 'deploy_timeout: 5m' })))
  assert.match(error.details.at(-2) ?? '', /^the last word$/)
  assertNothingLeft(node, 3)
  assertNoneLost(await load.stop())
})

test('an app with a fixed port that nobody declared runs twice, and the port follows the active release', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  const measured = `${goodServer}\ncreateServer((_, response) => response.end(answer())).listen(9100, '127.0.0.1')`
  const folder = shopFolder(t, { server: measured })
  await node.deploy(folder)
  assert.equal(await whoAnswers(9100), 'v1')
  await using load = await lightLoad()
  await using metrics = await lightLoad(9100)
  await node.deploy(folder)
  assert.equal(await whoAnswers(9100), 'v2')
  const { ports } = await node.app('shop')
  assert.deepEqual(
    ports
      .map(({ port, declared, addresses }) => ({ port, declared, addresses: addresses.length }))
      .toSorted((a, b) => a.port - b.port),
    [
      { port: 8080, declared: true, addresses: 1 },
      { port: 9100, declared: false, addresses: 1 },
    ],
  )
  await node.rollback('shop')
  assert.equal(await whoAnswers(9100), 'v1')
  assertNoneLost(await metrics.stop())
  assertNoneLost(await load.stop())
})

test('three workers share the work, each with its number, in every release', { skip }, async (t) => {
  const node = await startNode(t)
  const numbered = goodServer.replace("' pid ' + process.pid", "' worker ' + process.env.CUTOVER_WORKER")
  const folder = shopFolder(t, { server: numbered, config: 'workers: 3' })
  await node.deploy(folder)
  await using load = await lightLoad()
  await node.deploy(folder)
  const { releases } = await node.app('shop')
  assert.deepEqual(
    releases.map(({ pids }) => pids.length),
    [3, 3],
  )
  await load.until('the new release answers', ({ answered }) => (answered.v2 ?? 0) > 0)
  assertNoneLost(await load.stop())

  const turns: string[] = []
  for (let i = 0; i < 9; i++) turns.push((await ask()).trim())
  for (const worker of [1, 2, 3]) assert.equal(turns.filter((turn) => turn === `v2 worker ${worker}`).length, 3)
})
