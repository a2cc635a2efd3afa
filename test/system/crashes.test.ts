/** An active release that crashes is started again, and clients wait meanwhile instead of being refused. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { Status } from '../../src/core/documents.ts'
import { type Fates, lostIn } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { errorOf, goodServer, lightLoad, logOf, shopFolder } from '../support/shop.ts'

const clients = 3

/** It gets live, crashes when the file `go` is there, and soon after each time that it is started again. */
const crashing = `
  import { existsSync, writeFileSync } from 'node:fs'
  ${goodServer}
  const crash = () => {
    writeFileSync('crashed', '')
    console.log('out of memory')
    process.exit(1)
  }
  if (existsSync('crashed')) setTimeout(crash, 300)
  else setInterval(() => existsSync('go') && crash(), 20)`

const crashFrom = (node: TestNode): void => writeFileSync(join(node.place.home, 'releases/shop/v1/go'), '')

type Shop = Status['apps'][number]

async function untilApp(node: TestNode, wanted: (app: Shop) => boolean): Promise<Shop> {
  for (let tries = 0; tries < 3000; tries++) {
    const app = await node.app('shop')
    if (wanted(app)) return app
    await pause(20)
  }
  throw new Error('it did not come true within a minute')
}

/** A crash takes with it what it was working on, a request a client at most; nobody was refused, and nobody waited in vain. */
function assertHeld(fates: Fates, crashes: number): void {
  assert.equal(fates.refused, 0)
  assert.equal(fates.timedOut, 0)
  assert.equal(fates.wrong, 0)
  assert.ok(lostIn(fates) <= crashes * clients, `${lostIn(fates)} requests were lost in ${crashes} crashes`)
}

test('a release that crashes after it went live is started again with growing delays, and a good one rescues the app', {
  skip: asRoot,
}, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t, { server: crashing, config: 'hold: 1m' }))
  await using load = await lightLoad()
  crashFrom(node)

  const down = await untilApp(node, ({ releases }) => releases[0]?.note !== null)
  assert.equal(down.active, 1)
  assert.match(down.releases[0]?.note ?? '', /1 of 1 workers are down/)
  const app = await untilApp(node, ({ releases }) => (releases[0]?.restarts ?? 0) >= 3)
  assert.equal(app.active, 1)
  assert.equal(app.releases[0]?.state, 'active')
  assert.match(app.releases[0]?.note ?? '', /worker 1 has failed [34] times in a row/)
  const waiting = await untilApp(node, ({ releases }) => /the next try is in [1-4] s$/.test(releases[0]?.note ?? ''))
  assert.match(
    waiting.releases[0]?.note ?? '',
    /^1 of 1 workers are down; worker 1 has failed [345] times in a row; the/,
  )

  const log = await logOf(node, 1)
  const told = [...log.matchAll(/^cutover: worker 1 \(pid \d+\) exited with code 1; starts again (.*)$/gm)]
  assert.deepEqual(
    told.slice(0, 3).map(([, when]) => when),
    ['at once', 'in 1 s', 'in 2 s'],
  )
  assert.match(log, /^out of memory$/m)
  const noted = (await node.client.history('shop')).filter(({ kind }) => kind === 'worker')
  assert.match(noted[0]?.text ?? '', /worker 1 of shop v1 \(pid \d+\) exited with code 1; it is started again at once/)

  const broken = await errorOf(node.deploy(shopFolder(t, { server: 'process.exit(5)', config: 'hold: 1m' })))
  assert.match(
    broken.message,
    /exited with code 5.*(Traffic is on v1, as before|v1 is the live release and does not listen)/,
  )

  const { previous } = await node.deploy(shopFolder(t, { config: 'hold: 1m' }))
  assert.equal(previous, 1)
  const { answered = {} } = await load.snapshot()
  await load.until('the good one serves everybody', (fates) => (fates.answered.v3 ?? 0) > (answered.v3 ?? 0) + 50)
  const fates = await load.stop()
  assertHeld(fates, told.length + 3)
  assert.ok((fates.answered.v1 ?? 0) > 0)
})

test('a worker that crashes is not missed where others work', { skip: asRoot }, async (t) => {
  const node = await startNode(t)
  const one = crashing.replace('crash = () => {', "crash = () => {\nif (process.env.CUTOVER_WORKER !== '2') return")
  await node.deploy(shopFolder(t, { server: one, config: 'workers: 2\nhold: 0s' }))
  await using load = await lightLoad()
  crashFrom(node)
  await untilApp(node, ({ releases }) => (releases[0]?.restarts ?? 0) >= 2)
  assertHeld(await load.stop(), 3)
})

test('beyond hold clients are refused, and served again when the release is back', { skip: asRoot }, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t, { server: crashing, config: 'hold: 300ms' }))
  await using load = await lightLoad()
  crashFrom(node)
  // The second restart comes after a second: longer than anybody is held.
  const { answered } = await load.until('somebody was refused', ({ refused }) => refused > 0)
  await load.until('the release is back', (fates) => (fates.answered.v1 ?? 0) > (answered.v1 ?? 0))
  const fates = await load.stop()
  assert.equal(fates.timedOut, 0)
})
