/** A daemon whose maps have another layout takes over a node under load, and the former one takes it back. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import process from 'node:process'
import { test } from 'node:test'
import { app, appBecomes, appFolder, ask, exampleServer, pidsOf, port, processesOf } from '../support/app.ts'
import { startDaemon } from '../support/checkout-daemon.ts'
import { cutover } from '../support/cutover.ts'
import { pinsOf } from '../support/kernel-part.ts'
import { assertNoneLost, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { twoLayouts } from '../support/other-layout.ts'
import { needs } from '../support/packages.ts'

test('a daemon of another layout takes over a node under load, killed or not, and back, and nothing is lost', {
  skip: asRoot || needs('clang-19', 'libbpf-dev'),
}, async (t) => {
  const { present, next } = twoLayouts(t)
  const node = await startNode(t, ({ home }) => startDaemon(t, present, home).answers)
  const layouts = () => readdirSync(pinsOf(node) ?? '')
  const folder = appFolder(t, { workers: 3 })
  await node.deploy(folder)
  await node.deploy(folder)
  const held = { app: 'held', port: 8081 }
  await node.deploy(appFolder(t, { ...held, hold: '1m' }, { 'server.mjs': exampleServer.replace('8080', '8081') }))
  const before = await node.settled(app)
  assert.deepEqual(
    before.releases.map(({ state }) => state),
    ['active', 'standby'],
  )
  const loads = [
    await startLoad({ kind: 'short', port, clients: 8, pauseMs: 2 }),
    await startLoad({ kind: 'keep-alive', port, clients: 8, pauseMs: 5 }),
  ]
  t.after(() => Promise.all(loads.map((load) => load[Symbol.asyncDispose]())))
  const goesOn = async () => {
    for (const load of loads) {
      await load.more(50)
    }
  }

  // The daemon is killed, and then an app: who comes waits for the next daemon.
  const [worker = 0] = pidsOf(await node.app(held.app), 1)
  await node.killDaemon()
  process.kill(worker, 'SIGKILL')
  const waiting = Promise.all([1, 2, 3].map(() => ask('/', held.port)))
  await startDaemon(t, next, node.place.home).answers
  assert.deepEqual(layouts(), [next.layout])
  assert.deepEqual(
    (await waiting).map((text) => text.split(' ')[0]),
    ['v1', 'v1', 'v1'],
  )
  assert.deepEqual(processesOf(await node.app(app)), processesOf(before))
  await goesOn()

  // A version that does not know that layout is refused, and the daemon stays.
  const unknown = await cutover(['daemon'], { home: node.place.home })
  assert.equal(unknown.code, 1)
  assert.match(
    unknown.stderr,
    /are of layout \d+, and this version of Cutover knows .*\. The daemon of version .* goes on/s,
  )
  assert.equal((await node.rollback(app)).release, 1)
  await goesOn()

  // Back, while the daemon that runs makes place.
  await startDaemon(t, present, node.place.home).answers
  assert.deepEqual(layouts(), [present.layout])
  await goesOn()
  assert.equal((await node.rollback(app, { to: 2 })).release, 2)
  assert.equal((await node.deploy(folder)).release, 3)
  await goesOn()
  const fates = await Promise.all(loads.map((load) => load.stop()))
  for (const one of fates) assertNoneLost(one)
  assert.deepEqual(Object.keys(fates[0]?.answered ?? {}).toSorted(), ['v1', 'v2', 'v3'])
  const [crashed = 0] = pidsOf(await node.app(app), 3)
  process.kill(crashed, 'SIGKILL')
  await appBecomes(node, (status) => pidsOf(status, 3).length === 3 && !pidsOf(status, 3).includes(crashed))
})
