/** `restart`: the same files, a fresh environment, and a cutover like any other. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ask } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { answeredIn, assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { assertNothingLeft, errorOf, lightLoad, shopFolder, shopPort } from '../support/shop.ts'

const options = { skip: asRoot }

/** Tells its release, what `build` made, what its env_file says, and what is shared. */
const tellingServer = `
import { readFileSync, existsSync } from 'node:fs'
import { createServer } from 'node:http'
const built = readFileSync('built', 'utf8').trim()
const shared = existsSync('uploads/picture') ? readFileSync('uploads/picture', 'utf8') : 'none'
createServer((request, response) =>
  response.end([process.env.CUTOVER_RELEASE, built, process.env.WORD, shared].join(' '))
).listen(${shopPort})
`

test(
  'a restart is a new release of the same files with what its env_file says now, and loses nothing',
  options,
  async (t) => {
    const node = await startNode(t)
    const commands = join(node.place.home, 'commands')
    const directory = shopFolder(t, {
      config: [
        `build: sh -c 'echo build >> ${commands}; date +%N > built; ln -s built alias; mkdir -p deep/er; touch deep/er/file'`,
        `release: sh -c 'echo release >> ${commands}'`,
        'env_file: words',
        'shared: [uploads/]',
      ].join('\n'),
      server: tellingServer,
      files: { words: 'WORD=first\n', '.cutoverignore': '*.log\n', 'kept.txt': 'kept' },
    })
    await node.deploy(directory)
    const [, built] = (await ask()).split(' ')
    writeFileSync(join(node.place.home, 'releases', 'shop', 'v1', 'uploads', 'picture'), 'picture')
    // What comes into the folder later is for the next deploy; what lies in the release is part of it, whatever a rule says of its name.
    writeFileSync(join(directory, 'server.mjs'), 'process.exit(1)')
    writeFileSync(join(directory, 'words'), 'WORD=second\n')
    writeFileSync(join(node.place.home, 'releases', 'shop', 'v1', 'made.log'), 'by the app')
    await using load = await lightLoad()
    await load.until('there is load', (fates) => answeredIn(fates) > 20)

    const { code, stdout, stderr } = await cutover(['restart', 'shop'], { home: node.place.home })
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^shop v2 is live on :8080\. v1 stands by: cutover rollback\n/)
    assert.match(stderr, /✓ copy +\d+ files, \d+ KB, of v1/)
    assert.equal(await ask(), `v2 ${built} second picture`)
    assert.equal(readFileSync(commands, 'utf8'), 'build\nrelease\n')
    const files = join(node.place.home, 'releases', 'shop', 'v2')
    for (const name of ['alias', 'kept.txt', 'deep/er/file', 'made.log']) assert.ok(existsSync(join(files, name)), name)
    const status = await node.app('shop')
    assert.deepEqual([status.active, status.standby], [2, [1]])
    assert.deepEqual((await node.client.history('shop')).map(({ kind, outcome }) => [kind, outcome]).slice(0, 2), [
      ['deploy', 'done'],
      ['restart', 'done'],
    ])

    assert.equal((await node.rollback('shop')).release, 1)
    assert.equal(await ask(), `v1 ${built} first none`, 'the very process that served before')
    assertNoneLost(await load.stop())
  },
)

test('a restart that cannot be is refused or undone, and traffic stays', options, async (t) => {
  const node = await startNode(t)
  await assert.rejects(node.operate('restart', 'shop'), { kind: 'refused' })
  const directory = shopFolder(t, { config: 'env_file: words', files: { words: 'WORD=first\n' } })
  await node.deploy(directory)
  await using load = await lightLoad()

  const broken = await errorOf(
    node.deploy(shopFolder(t, { config: 'deploy_timeout: 1s', server: 'setInterval(() => {}, 1000)' })),
  )
  assert.match(broken.message, /nothing listens on 8080/)
  rmSync(directory, { recursive: true })
  const gone = await errorOf(node.operate('restart', 'shop'))
  assert.match(gone.message, /v3 never went live: .*env_file.*Traffic is on v1, as before\./s)
  assertNothingLeft(node, 3)
  assertNoneLost(await load.stop())

  await node.operate('stop', 'shop')
  await assert.rejects(node.operate('restart', 'shop'), { kind: 'refused', message: /is stopped.*cutover start shop/ })
})
