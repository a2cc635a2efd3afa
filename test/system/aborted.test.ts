/** Whoever gives up a deploy before the cutover leaves nothing behind; afterwards nothing is undone. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { StepName } from '../../src/core/documents.ts'
import { cutover } from '../support/cutover.ts'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { assertFailed, errorOf, lightLoad, type Shop, shopFolder } from '../support/shop.ts'
import { eventually } from '../support/workspace.ts'

/** They take a while to copy. Where the interruption comes too late all the same, the build does not end. */
const manyFiles = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`page${i}.html`, `page ${i}\n`]))

/** By the step in which it hangs, for as long as nobody gives it up. */
const hanging: readonly (Shop & { readonly step: StepName })[] = [
  { step: 'copy', config: 'build: sleep 600', files: manyFiles },
  { step: 'build', config: 'build: sh -c "sleep 600 & sleep 600"' },
  { step: 'release', config: `release: [sh, -c, "trap '' TERM; sleep 600 & sleep 600"]` },
  { step: 'start', config: 'deploy_timeout: 10m', server: 'setInterval(() => {}, 1000)' },
  {
    step: 'healthy',
    config: 'deploy_timeout: 10m',
    server: `
      import { createServer } from 'node:http'
      createServer((_, response) => response.writeHead(500).end()).listen(8080)`,
  },
  {
    step: 'warmup',
    config: 'deploy_timeout: 10m\nwarmup: [{path: /slow}]',
    server: `
      import { createServer } from 'node:http'
      createServer(({ url }, response) => url === '/' && response.end('v0\\n')).listen(8080)`,
  },
]

const aborted = /was aborted before the cutover and never went live/

test('while clients are served, a deploy', { skip: asRoot }, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  await using load = await lightLoad()
  let release = 1

  for (const { step, ...shop } of hanging) {
    release++
    await t.test(`that is given up in the step "${step}" leaves nothing behind`, async (t) => {
      const giveUp = new AbortController()
      const error = await errorOf(
        node.deploy(
          shopFolder(t, shop),
          (progress) => progress.type === 'begin' && progress.step === step && giveUp.abort(),
          giveUp.signal,
        ),
      )
      assert.equal(error.kind, 'failed')
      assert.match(error.message, aborted)
      assert.match(error.message, /Traffic is on v1, as before\.$/)
      await assertFailed(node, { release, active: 1, reason: aborted, outcome: 'aborted' })
    })
  }

  await t.test('whose client is interrupted by Ctrl-C ends cleanly, with 130 and where traffic is', async (t) => {
    release++
    const folder = shopFolder(t, { config: 'build: sh -c "touch begun; sleep 600"' })
    const begun = join(node.place.home, 'releases', 'shop', `v${release}`, 'begun')
    const { code, stderr } = await cutover(['deploy', folder], {
      home: node.place.home,
      meanwhile: (child) => void eventually(() => existsSync(begun)).finally(() => child.kill('SIGINT')),
    })
    assert.equal(code, 130)
    assert.match(stderr, new RegExp(`\\nshop v${release} ${aborted.source}\\. Traffic is on v1, as before\\.\\n$`))
    await assertFailed(node, { release, active: 1, reason: aborted, outcome: 'aborted' })
  })

  await t.test('whose client is killed ends cleanly as well', async (t) => {
    release++
    const folder = shopFolder(t, { config: 'build: sh -c "touch begun; sleep 600"' })
    const begun = join(node.place.home, 'releases', 'shop', `v${release}`, 'begun')
    const { code } = await cutover(['deploy', folder], {
      home: node.place.home,
      meanwhile: (child) => void eventually(() => existsSync(begun)).finally(() => child.kill('SIGKILL')),
    })
    assert.equal(code, null)
    while ((await node.app('shop')).busy !== null);
    await assertFailed(node, { release, active: 1, reason: aborted, outcome: 'aborted' })
  })

  const before = await load.stop()
  assertNoneLost(before)
  assert.deepEqual(Object.keys(before.answered), ['v1'])

  await t.test('that is given up after the cutover is not undone', async (t) => {
    release++
    await using load = await lightLoad()
    const giveUp = new AbortController()
    const receipt = await node.deploy(
      shopFolder(t),
      (progress) => progress.type === 'end' && progress.step === 'cutover' && giveUp.abort(),
      giveUp.signal,
    )
    assert.equal(receipt.release, release)
    await load.until('the new release answers', ({ answered }) => (answered[`v${release}`] ?? 0) > 0)
    assert.equal((await node.app('shop')).active, release)
    assertNoneLost(await load.stop())
  })
})
