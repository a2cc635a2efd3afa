/** What a command of a package loads before it does what it is asked: somebody waits for it. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { after, before, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { quick } from '../../src/cli/quick.ts'
import { bundleCommands } from '../../src/daemon/program/bundle.ts'
import { cutover } from '../support/cutover.ts'
import { daemonHere } from '../support/daemons.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'cutover-test-'))
const program = join(folder, 'bin', 'cutover.js')
const preload = join(folder, 'preload.cjs')

after(() => rmSync(folder, { recursive: true, force: true }))
before(async () => {
  for (const name of ['bin', 'package.json']) cpSync(join(root, name), join(folder, name), { recursive: true })
  await bundleCommands(join(folder, 'dist'))
  writeFileSync(
    preload,
    `const { writeFileSync } = require('node:fs')
    process.on('exit', () => {
      const list = { own: process.moduleLoadList, files: Object.keys(require.cache) }
      writeFileSync(process.env.LOADED, JSON.stringify(list))
    })`,
  )
})

/** What the command has loaded when it ends: Node's own modules by their names, and the text of the package's. */
async function loadedBy(t: TestContext, args: readonly string[]) {
  const { place, client } = await daemonHere(t)
  await client.operate({ kind: 'deploy', directory: '/srv/shop', path: '/usr/bin' }, { onProgress: () => {} })
  const list = join(place.home, 'loaded')
  const environment = { NODE_OPTIONS: `--require=${preload}`, LOADED: list }
  const { code, stderr } = await cutover(args, { home: place.home, environment, command: [process.execPath, program] })
  assert.equal(code, 0, stderr)
  const { own, files } = JSON.parse(readFileSync(list, 'utf8')) as { own: string[]; files: string[] }
  const texts = files.filter((file) => file.startsWith(join(folder, 'dist'))).map((file) => readFileSync(file, 'utf8'))
  return { own: own.map((name) => name.replace('NativeModule ', '')), text: texts.join('\n') }
}

/** Each of them takes longer to load than a command without it takes beyond Node's own start, or needs something that does. */
const slow = ['http', '_http_client', 'https', 'crypto', 'internal/deps/undici/undici', 'fs/promises', 'worker_threads']

for (const { args, parsed } of [
  { args: ['status'], parsed: false },
  { args: ['status', 'shop'], parsed: false },
  { args: ['rollback'], parsed: false },
  { args: ['rollback', 'shop'], parsed: false },
  { args: ['rollback', 'shop', '--to', 'v4'], parsed: true },
  { args: ['complete', '--', 'status', ''], parsed: true },
]) {
  test(`cutover ${args.join(' ')} loads what it needs, and nothing that takes its time`, {
    timeout: 120_000,
  }, async (t) => {
    const { own, text } = await loadedBy(t, args)
    assert.deepEqual(
      slow.filter((name) => own.includes(name)),
      [],
    )
    assert.doesNotMatch(text, /koffi|ZodError|toLocale|new Intl/)
    assert.equal(/CommanderError/.test(text), parsed)
    assert.equal(own.includes('child_process'), parsed, 'commander wants it')
    assert.ok(text.length < (parsed ? 130_000 : 45_000), `${text.length} characters`)
  })
}

test('what has an option, or more than an app behind it, is parsed', () => {
  const parsed = [[], ['deploy'], ['status', '--json'], ['status', '-h'], ['rollback', 'a', 'b'], ['constructor']]
  assert.deepEqual(
    parsed.filter((args) => quick(args) !== null),
    [],
  )
  for (const args of [['status'], ['rollback', 'shop']]) assert.notEqual(quick(args), null)
})
