/** What a rollback means, word for word: where it goes, when it is refused, and what it runs with. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CutoverError } from '../../src/core/errors.ts'
import { identify, isAlive, sendSignal } from '../../src/linux/process.ts'
import { app, appFolder, ask, configWith, exampleServer, port, whoAnswers } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { assertNoneLost, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { eventually } from '../support/workspace.ts'

const options = { skip: asRoot }

test(
  'a bare rollback goes to the release that was active before, and once until the next deploy',
  options,
  async (t) => {
    const node = await startNode(t)
    const folder = appFolder(t)
    for (let release = 1; release <= 3; release++) await node.deploy(folder)
    await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })

    const { release, previous } = await node.rollback(app)
    assert.deepEqual([release, previous], [2, 3])
    assert.equal(await whoAnswers(), 'v2')

    await refused(node.rollback(app), /^v3 was rolled back to v2 \d+ s ago by root; to go further: --to v1/)
    assert.equal(await whoAnswers(), 'v2')

    await node.deploy(folder)
    assert.equal((await node.rollback(app)).release, 2, 'what was active before v4, though v3 is newer')
    assertNoneLost(await load.stop())
  },
)

test('--to reaches every release that was live and is on disk, and no other', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t, { retain: 3 })
  for (let release = 1; release <= 4; release++) await node.deploy(folder)
  writeFileSync(join(folder, 'server.mjs'), 'process.exit(3)\n')
  await assert.rejects(node.deploy(folder), { kind: 'failed' })
  await node.settled(app)
  await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })

  await refused(
    node.rollback(app, { to: 1 }),
    /^The files of v1 are no longer on disk \(see retain\); possible: --to v3, --to v2/,
  )
  await refused(node.rollback(app, { to: 4 }), /^v4 is active already: nothing was changed/)
  await refused(node.rollback(app, { to: 5 }), /^v5 never went live: .*code 3.*; possible: --to v3, --to v2/)
  await refused(node.rollback(app, { to: 9 }), /^There is no v9; possible: --to v3, --to v2/)
  assert.equal(await whoAnswers(), 'v4')

  const running = await node.rollback(app, { to: 3 })
  assert.deepEqual(stepsOf(running), ['cutover'], 'it runs: one switch is all')
  const retired = await node.rollback(app, { to: 2 })
  assert.deepEqual(stepsOf(retired), ['start', 'healthy', 'cutover'], 'it has to be started and proven first')
  assert.equal(await whoAnswers(), 'v2')
  assert.equal((await node.rollback(app, { to: 4 })).release, 4, 'forward too, if it is asked for')
  assertNoneLost(await load.stop())
})

test('--from acts only on the release that somebody thinks is active', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  for (let release = 1; release <= 3; release++) await node.deploy(folder)
  await refused(node.rollback(app, { from: 2 }), /^v3 is active, not v2: nothing was changed/)
  assert.equal(await whoAnswers(), 'v3')
  assert.equal((await node.rollback(app, { from: 3 })).release, 2)
  await refused(node.rollback(app, { from: 3 }), /^v2 is active, not v3/)
})

test('with nothing to go back to it is refused, says why, and exits with 4', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  const { home } = node.place
  const nothing = await cutover(['rollback', app], { home })
  assert.deepEqual([nothing.code, nothing.stderr.includes(`There is no app ${app}`)], [4, true], nothing.stderr)
  await node.deploy(folder)
  const first = await cutover(['rollback'], { home, cwd: folder })
  assert.equal(first.code, 4)
  assert.match(first.stderr, /Nothing to roll back to: no release was live before v1/)
  assert.equal(await whoAnswers(), 'v1')
})

test('while a deploy runs it is refused, and says who is deploying since when', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  await node.deploy(folder)
  writeFileSync(join(folder, 'cutover.yaml'), configWith({ build: 'sleep 30' }))
  const interrupt = new AbortController()
  const builds = Promise.withResolvers<void>()
  const deploy = node.deploy(
    folder,
    (progress) => progress.type === 'begin' && progress.step === 'build' && builds.resolve(),
    interrupt.signal,
  )
  await Promise.race([builds.promise, deploy])
  await refused(node.rollback(app), /is busy: the deploy of v3 by root since \d+ s\. Nothing was changed/)
  interrupt.abort()
  await assert.rejects(deploy, { kind: 'failed' })
  assert.equal((await node.rollback(app)).release, 1, 'the lock went with the deploy')
})

test('a standby whose process was killed a moment ago is started again before it gets traffic', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  await node.deploy(folder)
  await node.settled(app)
  await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })
  await killAll(node, 1)
  await node.rollback(app)
  assert.equal(await whoAnswers(), 'v1')
  await load.until('v1 answers', ({ answered }) => (answered.v1 ?? 0) > 100)
  assertNoneLost(await load.stop())
})

test('a standby that cannot run any more fails the rollback, and traffic stays where it was', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  await node.deploy(folder)
  await node.settled(app)
  await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })
  writeFileSync(join(node.place.home, 'releases', app, 'v1', 'server.mjs'), 'process.exit(7)\n')
  await killAll(node, 1)
  await assert.rejects(node.rollback(app), { kind: 'failed', message: /Traffic is on v2, as before/ })
  assert.equal((await node.app(app)).active, 2)
  assertNoneLost(await load.stop())
  await node.deploy(folder)
  assert.equal(await whoAnswers(), 'v3')
})

test('a release that is started again has its own env and the present env_file', options, async (t) => {
  const node = await startNode(t)
  const keys = (plain: string) => ({ env: { PLAIN: plain }, env_file: 'secrets.env', standby: { keep: 0 } })
  const says = `pages['/env'] = (_, response) => answer(response, 200, process.env.PLAIN + ' ' + process.env.PASSWORD)`
  const folder = appFolder(t, keys('first'), {
    'server.mjs': `${exampleServer}\n${says}\n`,
    'secrets.env': 'PASSWORD=old\n',
  })
  await node.deploy(folder)
  assert.equal(await ask('/env'), 'first old')

  writeFileSync(join(folder, 'cutover.yaml'), configWith(keys('second')))
  writeFileSync(join(folder, 'secrets.env'), 'PASSWORD=rotated\n')
  await node.deploy(folder)
  await node.settled(app)
  assert.equal(await ask('/env'), 'second rotated')

  writeFileSync(join(folder, 'secrets.env'), 'PASSWORD=not deployed\n')
  const { release, steps } = await node.rollback(app)
  assert.deepEqual([release, steps.map(({ step }) => step).includes('start')], [1, true])
  assert.equal(await ask('/env'), 'first rotated')
})

/** It is refused, in these words. */
async function refused(rollback: Promise<unknown>, words: RegExp): Promise<void> {
  await assert.rejects(rollback, (error: CutoverError) => {
    assert.equal(error.kind, 'refused')
    assert.match(error.message, words)
    return true
  })
}

const stepsOf = ({ steps }: { readonly steps: readonly { readonly step: string }[] }) => steps.map(({ step }) => step)

/** `kill -9` of every process of the release; resolves when they are gone. */
async function killAll(node: TestNode, release: number): Promise<void> {
  const { releases } = await node.app(app)
  const pids = releases.find((one) => one.release === release)?.pids ?? []
  assert.ok(pids.length > 0, `v${release} does not run`)
  for (const process of pids.flatMap((pid) => identify(pid) ?? [])) {
    sendSignal(process, 'SIGKILL')
    await eventually(() => !isAlive(process))
  }
}
