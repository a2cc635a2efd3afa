/** Files of the home are damaged or missing when a daemon starts: it says so, and what runs goes on. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { app, appBecomes, appFolder, pidsOf, port, whoAnswers } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { assertNoneLost, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { eventually } from '../support/workspace.ts'

const options = { skip: asRoot }

test('a database that is damaged inside: no daemon starts, it is said why, and traffic goes on', options, async (t) => {
  const node = await startNode(t)
  await node.deploy(appFolder(t))
  await using load = await startLoad({ kind: 'short', port, clients: 2, pauseMs: 10 })
  await node.settled(app)
  await node.killDaemon()
  const file = join(node.place.home, 'cutover.db')
  // What is still in the log beside it would mend it.
  const database = new DatabaseSync(file)
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  database.close()
  const whole = readFileSync(file)
  writeFileSync(file, Buffer.from(whole).fill(0x5a, whole.length / 2))
  const { code, stderr } = await cutover(['status'], { home: node.place.home })
  assert.equal(code, 3, stderr)
  assert.ok(
    stderr.startsWith(`The daemon could not start: ${file}, which holds what Cutover knows of this node, is damaged: `),
  )
  assert.match(stderr, /Apps and traffic go on.*put a copy of the file back/)
  const { begun } = await load.snapshot()
  await load.until('clients go on', (fates) => fates.begun > begun + 50)

  writeFileSync(file, whole)
  assert.equal((await node.app(app)).active, 1)
  assert.equal((await node.deploy(appFolder(t))).release, 2)
  assertNoneLost(await load.stop())
})

test(
  'the files of a release that runs are missing: it is taken over, and it is said which folder',
  options,
  async (t) => {
    const node = await startNode(t)
    await node.deploy(appFolder(t))
    await node.deploy(appFolder(t))
    await node.settled(app)
    await node.killDaemon()
    const folder = join(node.place.home, 'releases', app, 'v2')
    rmSync(folder, { recursive: true })
    const { found, releases } = await node.app(app)
    const says = new RegExp(
      `v2 runs on, but none of its workers could be started again: the directory ${folder} does not exist`,
    )
    assert.match(found ?? '', says)
    assert.ok((await node.client.history(app)).some(({ kind, text }) => kind === 'recovery' && says.test(text)))
    assert.equal(await whoAnswers(), 'v2')
    kill(releases)
    await untilUnstartable(node, new RegExp(`The directory ${folder} does not exist`))
    assert.equal((await node.rollback(app)).release, 1)
    assert.equal(await whoAnswers(), 'v1')
  },
)

test(
  'the copy of its env_file is damaged: it is taken over, and started again once that is whole',
  options,
  async (t) => {
    const node = await startNode(t)
    await node.deploy(appFolder(t, { env_file: ['secrets'] }, { secrets: 'A=1\n' }))
    await node.settled(app)
    await node.killDaemon()
    const file = join(node.place.home, 'releases', app, 'v1.env.json')
    const whole = readFileSync(file)
    writeFileSync(file, '{"A":')
    const { found, releases } = await node.app(app)
    assert.match(
      found ?? '',
      /v1 runs on, but none of its workers could be started again: .*v1\.env\.json.* is damaged/,
    )
    assert.equal(await whoAnswers(), 'v1')
    const killed = kill(releases)
    await untilUnstartable(node, /v1\.env\.json.* is damaged/)
    writeFileSync(file, whole)
    await appBecomes(node, (status) => pidsOf(status, 1).length > 0 && !pidsOf(status, 1).includes(killed))
  },
)

type Releases = Awaited<ReturnType<TestNode['app']>>['releases']

/** `kill -9` of the active release's worker. */
function kill(releases: Releases): number {
  const [pid = 0] = releases.find(({ state }) => state === 'active')?.pids ?? []
  assert.ok(pid > 0)
  process.kill(pid, 'SIGKILL')
  return pid
}

async function untilUnstartable(node: TestNode, reason: RegExp): Promise<void> {
  const { home } = node.place
  await appBecomes(node, ({ releases }) => releases.some(({ note }) => /1 of 1 workers are down/.test(note ?? '')))
  // It is found out when the worker is started again.
  await eventually(async () => reason.test((await cutover(['logs', app], { home })).stdout))
}
