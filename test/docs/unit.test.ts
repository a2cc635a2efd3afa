/** The unit that docs/install.md installs, as far as it can be shown true without a systemd that runs; and the commands in the page's text. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { needs } from '../support/packages.ts'
import { root, textOf } from './blocks.ts'
import { requireKnown } from './known-command.ts'

const unit = join(root, 'packaging', 'cutover.service')
const page = textOf('docs/install.md')

test('systemd accepts the unit', { skip: needs('systemd') }, () => {
  // What verify has to say comes on stderr, and not always with an exit code.
  const said = execFileSync('sh', ['-c', 'systemd-analyze verify --man=no "$0" 2>&1', unit], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  assert.equal(said.includes('cutover.service'), false, said)
})

/** Settings by name, comments left out. */
const settings = new Map(
  readFileSync(unit, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? []
      return name === undefined ? [] : [[name, value] as const]
    }),
)

test('the unit ends the daemon alone, and has it back whenever it ends', () => {
  assert.deepEqual(
    ['Type', 'ExecStart', 'KillMode', 'Restart'].map((name) => settings.get(name)),
    ['exec', '/usr/bin/env cutover daemon', 'process', 'always'],
  )
})

test('the unit makes no namespace, and takes nothing away that apps would miss', () => {
  const harmful =
    /^(Private|Protect|Restrict|ReadOnly|ReadWrite|Inaccessible|Bind|Temporary|Root|Mount|NoExec|Exec(Paths)$|LoadCredential|SetCredential|ImportCredential|Dynamic|User|Capability|Ambient|NoNew|System|LogNamespace|Limit|IPAddress|Memory)/
  assert.deepEqual(
    [...settings.keys()].filter((name) => harmful.test(name)),
    [],
  )
})

test('every cutover command in the text of the page is one that there is, with options that it has', async () => {
  const all = [...page.matchAll(/`cutover ([a-z][^`]*)`/g)].map(([, words = '']) => words)
  assert.ok(all.length >= 5, `${all.length} found`)
  for (const words of all) await requireKnown(words)
})
