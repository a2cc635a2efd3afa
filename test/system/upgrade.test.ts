/** A daemon with other kernel programs takes over a node, under load, and the former one takes it back. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startInBackground } from '../../src/daemon/autostart.ts'
import { ownObjects } from '../../src/strategies/steer/objects.ts'
import { app, appFolder, port, processesOf, whoAnswers } from '../support/app.ts'
import { pinsOf } from '../support/kernel-part.ts'
import { assertNoneLost, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { assertOneVersion, otherObjects } from '../support/other-objects.ts'
import { needs } from '../support/packages.ts'

const otherDaemon = fileURLToPath(new URL('../support/other-daemon.ts', import.meta.url))

test('daemons with different kernel programs follow one another under load, killed or not, and nothing is lost', {
  skip: asRoot || needs('clang-19', 'libbpf-dev'),
}, async (t) => {
  const folder = otherObjects(t)
  const other = [process.execPath, otherDaemon, folder.href, '--ready-fd', '3']
  const node = await startNode(t, other)
  const source = appFolder(t)
  await node.deploy(source)
  await node.deploy(source)
  const before = await node.settled(app)
  const loads = [
    await startLoad({ kind: 'short', port, clients: 8 }),
    await startLoad({ kind: 'keep-alive', port, clients: 8, pauseMs: 5 }),
  ]
  t.after(() => Promise.all(loads.map((load) => load[Symbol.asyncDispose]())))
  const goesOn = async () => {
    for (const load of loads) {
      await load.more(50)
    }
  }
  const daemons = [
    { command: undefined, objects: ownObjects, killed: false },
    { command: other, objects: folder, killed: true },
    { command: undefined, objects: ownObjects, killed: true },
  ]
  for (const { command, objects, killed } of daemons) {
    await goesOn()
    if (killed) await node.killDaemon()
    else await node.client.stopDaemon(false)
    await startInBackground(node.place, command)
    assertOneVersion(pinsOf(node) ?? '', objects)
    assert.deepEqual(processesOf(await node.app(app)), processesOf(before))
  }
  assert.equal((await node.rollback(app)).release, 1)
  assert.equal((await node.deploy(source)).release, 3)
  await goesOn()
  for (const load of loads) assertNoneLost(await load.stop())
})

test('a daemon that does not know the layout of what is pinned does not start and says why, and traffic goes on', {
  skip: asRoot,
}, async (t) => {
  const node = await startNode(t)
  await node.deploy(appFolder(t))
  await node.killDaemon()
  const unknown = join(pinsOf(node) ?? '', '9')
  mkdirSync(unknown)
  t.after(() => rmSync(unknown, { recursive: true, force: true }))
  await assert.rejects(
    startInBackground(node.place),
    /The daemon could not start: The kernel programs pinned in .* are of layout 9, .*Nothing was changed: traffic goes on/,
  )
  assert.equal(await whoAnswers(), 'v1')
  rmSync(unknown, { recursive: true })
  assert.equal((await node.app(app)).active, 1)
})
