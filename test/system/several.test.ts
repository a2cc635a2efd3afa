/** Several daemons on one machine: in one network namespace with apps on different ports, and in two with apps on the same one. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { test } from 'node:test'
import { startInBackground } from '../../src/daemon/autostart.ts'
import { installProgram } from '../../src/daemon/program/install.ts'
import { app, appFolder, exampleServer, port, processesOf, whoAnswers } from '../support/app.ts'
import { answeredIn, assertNoneLost, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'

const otherPort = 8081

test('what is done with one daemon, up to its end, is not noticed by the apps of another', {
  skip: asRoot,
}, async (t) => {
  const [busy, quiet] = [await startNode(t), await startNode(t)]
  const folder = appFolder(t)
  await busy.deploy(folder)
  const server = exampleServer.replace(String(port), String(otherPort))
  const quietFolder = appFolder(t, { port: otherPort }, { 'server.mjs': server })
  await quiet.deploy(quietFolder)
  await quiet.deploy(quietFolder)
  const before = await quiet.settled(app)
  await using load = await startLoad({ kind: 'short', port: otherPort, pauseMs: 2 })
  await using own = await startLoad({ kind: 'short', port, pauseMs: 2 })
  await load.until('there is load', (fates) => answeredIn(fates) > 100)

  const { checks } = await quiet.client.doctor()
  assert.match(
    checks.find(({ check }) => check === 'other steering')?.text ?? '',
    /Cutover works: lookup \(program \d+\)$/,
  )
  for (let i = 0; i < 3; i++) await busy.deploy(folder)
  await busy.rollback(app)
  await busy.killDaemon()
  assert.equal((await busy.app(app)).active, 3)
  await busy.rollback(app, { to: 4 })
  assertNoneLost(await own.stop())
  await busy.operate('stop', app)
  await busy.operate('remove', app)
  await busy.client.stopDaemon(true)

  const answered = answeredIn(await load.snapshot())
  await load.until('a hundred more are answered', (fates) => answeredIn(fates) > answered + 100)
  assert.deepEqual(processesOf(await quiet.app(app)), processesOf(before))
  assert.equal((await quiet.rollback(app)).release, 1)
  assertNoneLost(await load.stop())
})

test('a port that an app of another daemon has is refused, and the app is named', { skip: asRoot }, async (t) => {
  const [first, second] = [await startNode(t), await startNode(t)]
  await first.deploy(appFolder(t))
  await using load = await startLoad({ kind: 'short', port, pauseMs: 2 })
  await assert.rejects(second.deploy(appFolder(t)), {
    kind: 'refused',
    message:
      /^Port 8080 is held by example-node v1 of another CUTOVER_HOME \(cgroup cutover-[0-9a-f]{8}, pid \d+\), which listens on .*It was left alone/s,
  })
  await load.until('there is load', (fates) => answeredIn(fates) > 100)
  assertNoneLost(await load.stop())
  // A stopped app's port is kept.
  await first.operate('stop', app)
  await assert.rejects(second.deploy(appFolder(t)), {
    kind: 'refused',
    message: /held by a holder of another CUTOVER_HOME/,
  })
  await first.operate('remove', app)
  assert.equal((await second.deploy(appFolder(t))).release, 1)
  assert.equal(await whoAnswers(), 'v1')
})

/** What the app answers in the network namespace of the node's daemon. */
function whoAnswersInside({ place }: TestNode): string {
  const pid = readFileSync(place.lock, 'utf8').trim()
  const code = `console.log(await (await fetch('http://127.0.0.1:${port}/')).text())`
  const args = [`--net=/proc/${pid}/ns/net`, process.execPath, '--input-type=module', '-e', code]
  const { stdout, stderr } = spawnSync('nsenter', args, { encoding: 'utf8', timeout: 30_000 })
  return stdout.split(' ')[0] || stderr
}

test('daemons in two network namespaces each have an app on the same port', {
  skip: asRoot || needs('util-linux', 'iproute2'),
}, async (t) => {
  const inNamespace = ['unshare', '--net', '--', 'sh', '-c', 'ip link set lo up && exec "$0" "$@"']
  const here = await startNode(t)
  const there = await startNode(t, async (place) =>
    startInBackground(place, [...inNamespace, ...(await installProgram(place.home)), '--ready-fd', '3']),
  )
  const folder = appFolder(t)
  await here.deploy(folder)
  await using load = await startLoad({ kind: 'short', port, pauseMs: 2 })
  for (let i = 0; i < 3; i++) await there.deploy(folder)
  assert.deepEqual([await whoAnswers(), whoAnswersInside(there)], ['v1', 'v3'])
  await here.deploy(folder)
  await there.rollback(app)
  assert.deepEqual([await whoAnswers(), whoAnswersInside(there)], ['v2', 'v2'])
  await there.client.stopDaemon(true)
  assert.equal(await whoAnswers(), 'v2')
  assertNoneLost(await load.stop())
})
