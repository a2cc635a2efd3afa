/** The units that docs/install.md installs, as far as it can be shown true without a systemd that runs; and the commands in the page's text. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { needs } from '../support/packages.ts'
import { root, textOf } from './blocks.ts'
import { requireKnown } from './known-command.ts'

const unit = join(root, 'packaging', 'cutover.service')
const unitOfUser = join(root, 'packaging', 'cutover-user.service')
const page = textOf('docs/install.md')

for (const file of [unit, unitOfUser])
  test(`systemd accepts ${basename(file)}`, { skip: needs('systemd') }, () => {
    // What verify has to say comes on stderr, and not always with an exit code.
    const said = execFileSync('sh', ['-c', 'systemd-analyze verify --man=no "$0" 2>&1', file], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    assert.equal(said.includes(basename(file)), false, said)
  })

/** Settings by name, comments left out. */
const settingsOf = (file: string) =>
  new Map(
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line) => {
        const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? []
        return name === undefined ? [] : [[name, value] as const]
      }),
  )

test('the units end the daemon alone, and have it back whenever it ends', () => {
  for (const file of [unit, unitOfUser]) {
    const settings = settingsOf(file)
    assert.deepEqual(
      ['Type', 'ExecStart', 'KillMode', 'Restart'].map((name) => settings.get(name)),
      ['exec', '/usr/bin/env cutover daemon', 'process', 'always'],
    )
  }
})

test('the unit makes no namespace, and takes nothing away that apps would miss', () => {
  const harmful =
    /^(Private|Protect|Restrict|ReadOnly|ReadWrite|Inaccessible|Bind|Temporary|Root|Mount|NoExec|Exec(Paths)$|LoadCredential|SetCredential|ImportCredential|Dynamic|User|Capability|Ambient|NoNew|System|LogNamespace|Limit|IPAddress|Memory)/
  assert.deepEqual(
    [...settingsOf(unit).keys()].filter((name) => harmful.test(name)),
    [],
  )
})

test('every cutover command in the text of the page is one that there is, with options that it has', async () => {
  const all = [...page.matchAll(/`cutover ([a-z][^`]*)`/g)].map(([, words = '']) => words)
  assert.ok(all.length >= 5, `${all.length} found`)
  for (const words of all) await requireKnown(words)
})
