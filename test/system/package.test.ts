/** The package as people install it, without a checkout: it deploys, is upgraded under load, and is removed. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { appFolder, port, whoAnswers } from '../support/app.ts'
import { checkout } from '../support/checkout.ts'
import { cutover } from '../support/cutover.ts'
import { answeredIn, assertNoneLost, startLoad } from '../support/load.ts'
import { startNode } from '../support/node.ts'
import { install, type Prepared, packed, prepare } from '../support/package.ts'

const variable = 'CUTOVER_TEST_PACKAGE'
// What needs the registry first: this file runs itself again in a namespace that has no network.
process.env[variable] ??= JSON.stringify(prepare())
const { asRoot } = await import('../support/namespace.ts')
const { directory, folder, oldest, older }: Prepared = JSON.parse(process.env[variable] ?? '')
after(() => rmSync(directory, { recursive: true, force: true }))

const program = join(folder, 'node_modules', 'cutover', 'bin', 'cutover.js')

test('a package holds plain JavaScript and the kernel programs, and depends on koffi alone', () => {
  const inside = readdirSync(join(folder, 'node_modules', 'cutover'), { recursive: true, encoding: 'utf8' })
  assert.deepEqual(
    inside.filter((name) => name.endsWith('.ts')),
    [],
  )
  for (const file of ['dist/bpf/lookup.o', 'docs/cutover.schema.json', 'packaging/cutover.service'])
    assert.ok(inside.includes(file), file)
  assert.deepEqual(
    readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.')),
    ['@koromix', 'cutover', 'koffi'],
  )
})

test('on an older Node a package says in one line what it needs', async () => {
  const ran = await cutover(['status'], { home: folder, command: [older, program] })
  assert.deepEqual([ran.code, ran.stdout], [3, ''])
  assert.match(ran.stderr, /^Cutover needs Node 24 or later; this is v22\.[\d.]+\.\n$/)
})

for (const [which, node] of [
  ['the oldest Node that is supported', oldest],
  ['the Node of development', process.execPath],
] as const) {
  test(`under ${which} a package deploys, is upgraded under load, and may be deleted while its daemon works`, {
    skip: asRoot,
    timeout: 300_000,
  }, async (t) => {
    const own = join(directory, which.replaceAll(' ', '-'))
    cpSync(folder, own, { recursive: true })
    const command = [node, join(own, 'node_modules', 'cutover', 'bin', 'cutover.js')] as const
    const at = await startNode(t, ({ home }) => cutover(['status'], { home, command }))
    const run = async (...args: string[]) => {
      const ran = await cutover(args, { home: at.place.home, command })
      assert.equal(ran.code, 0, ran.stderr)
      return ran.stdout
    }
    const sources = appFolder(t)
    assert.match(await run('deploy', sources), /v1 is live on :8080/)
    await using load = await startLoad({ kind: 'short', port, clients: 4, pauseMs: 5 })
    await load.until('there is load', (fates) => answeredIn(fates) > 50)

    const before = (await at.client.daemon())?.version
    const newer = checkout(t)
    newer.change()
    install(own, packed(join(own, 'packed'), newer.directory), ['--offline'])
    const daemon = spawn(command[0], [command[1], 'daemon'], {
      env: { ...process.env, CUTOVER_HOME: at.place.home },
      stdio: 'ignore',
    })
    t.after(() => daemon.kill('SIGKILL'))
    const present = async () => (await at.client.daemon())?.version ?? before
    while ((await present()) === before) await sleep(50)
    assert.equal((await run('version')).split('\n')[0], `cutover ${await present()}`)
    assert.match(await run('deploy', sources), /v2 is live on :8080/)
    assert.match(await run('rollback'), /v1 is live again/)

    rmSync(own, { recursive: true })
    assert.equal((await at.deploy(sources)).release, 3)
    assert.equal(await whoAnswers(), 'v3')
    assertNoneLost(await load.stop())
  })
}
