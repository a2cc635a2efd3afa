import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { type TestContext, test } from 'node:test'
import { commands } from '../../src/cli/commands.ts'
import { candidates } from '../../src/cli/completion/candidates.ts'
import { afterTab, type Shell, shellHome } from '../support/completing-shell.ts'
import { cutover } from '../support/cutover.ts'
import { daemonHere, temporaryHome } from '../support/daemons.ts'
import { needs } from '../support/packages.ts'

const slow = { timeout: 120_000 }

/** A daemon with the apps `shop` and `shed`, and the folder in which `shop` is meant. */
async function home(t: TestContext) {
  const { place, client } = await daemonHere(t)
  const folder = join(place.home, 'shop')
  mkdirSync(folder)
  for (const directory of [folder, join(place.home, 'shed')]) {
    await client.operate({ kind: 'deploy', directory, path: '/usr/bin' }, { onProgress: () => {} })
  }
  return { home: place.home, cwd: folder }
}

/** Makes this process one of somebody in that folder, whose daemon is that of that home. */
function beIn(t: TestContext, { home, cwd }: { home: string; cwd: string }): void {
  const { CUTOVER_HOME: former } = process.env
  const formerly = process.cwd()
  t.after(() => {
    process.chdir(formerly)
    if (former === undefined) delete process.env.CUTOVER_HOME
    else process.env.CUTOVER_HOME = former
  })
  process.chdir(cwd)
  process.env.CUTOVER_HOME = home
}

/** What a shell is answered. */
const complete = async (words: readonly string[], { home, cwd }: { home: string; cwd?: string }) => {
  const { code, stdout, stderr } = await cutover(['complete', '--', ...words], { home, ...(cwd && { cwd }) })
  assert.deepEqual([code, stderr], [0, ''], words.join(' '))
  return stdout.split('\n').slice(0, -1)
}

test('a word is completed by what may stand in its place', slow, async (t) => {
  const there = await home(t)
  const expected: readonly [words: readonly string[], candidates: readonly string[]][] = [
    [['ro'], ['rollback']],
    [['help', 'ro'], ['rollback']],
    [['daemon', ''], ['stop']],
    [
      ['daemon', 'stop', '--'],
      ['--all', '--yes', '--json', '--help'],
    ],
    [
      ['rollback', '-'],
      ['--to', '--from', '--by', '--json', '--quiet', '-q', '--help', '-h'],
    ],
    [['--v'], ['--version']],
    [['promote', '-'], []],
    [
      ['status', ''],
      ['shop', 'shed'],
    ],
    [['status', 'she'], ['shed']],
    [['status', 'shop', ''], []],
    [['status', '--', '-'], []],
    [
      ['rollback', '--to', ''],
      ['v5', 'v4'],
    ],
    [
      ['rollback', 'shed', '--to', 'v'],
      ['v5', 'v4'],
    ],
    [['rollback', '--to', 'v4', '--from', 'v5'], ['v5']],
    [['rollback', '--to', 'v4', 'she'], ['shed']],
    [
      ['logs', '--release=v'],
      ['--release=v5', '--release=v4'],
    ],
    [['logs', '--release', '=', 'v4'], ['v4']],
    [['logs', '-n', ''], []],
    [['deploy', ''], ['/']],
    [['deploy', '--label', ''], []],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
  ]
  beIn(t, there)
  for (const [words, all] of expected) assert.deepEqual(await candidates(words), all, words.join(' '))
  assert.deepEqual(await candidates(['']), [...Object.keys(commands), 'help'])
  assert.deepEqual(await complete(['rollback', '--to', 'v'], there), ['v5', 'v4'])
})

test('releases are those of the app that is named, and of none where nobody knows which is meant', slow, async (t) => {
  const { home: at } = await home(t)
  assert.deepEqual(await complete(['rollback', 'none', '--to', ''], { home: at }), [])
  assert.deepEqual(await complete(['rollback', '--to', ''], { home: at, cwd: '/' }), [])
})

test('completing starts no daemon, and says nothing where none answers', slow, async (t) => {
  const { home: at, socket } = temporaryHome(t)
  assert.deepEqual(await complete(['status', ''], { home: at }), [])
  assert.deepEqual(await complete(['rollback', '--to', ''], { home: join(at, 'none') }), [])
  assert.equal(existsSync(socket), false)
  assert.deepEqual(await complete(['ro'], { home: at }), ['rollback'])
})

test('a daemon that takes its time is not waited for', slow, async (t) => {
  const { home: at, socket } = temporaryHome(t)
  const silent = createServer(() => {})
  t.after(() => silent.close())
  await new Promise<void>((resolve) => silent.listen(socket, resolve))
  assert.deepEqual(await complete(['status', ''], { home: at }), [])
})

test('a script is for a shell that is known', slow, async (t) => {
  const { home: at } = temporaryHome(t)
  const { code, stderr } = await cutover(['completion', 'tcsh'], { home: at })
  assert.equal(code, 2)
  assert.match(stderr, /bash, zsh, fish/)
})

const shells: readonly { shell: Shell; skip: string | false }[] = [
  { shell: 'bash', skip: false },
  { shell: 'zsh', skip: needs('zsh') },
  { shell: 'fish', skip: needs('fish') },
]

for (const { shell, skip } of shells) {
  test(`${shell} completes commands, options, apps, releases and folders`, { ...slow, skip }, async (t) => {
    const there = await home(t)
    mkdirSync(join(there.cwd, 'a folder'))
    writeFileSync(join(there.cwd, 'a file'), '')
    const at = shellHome(t, shell, there)
    for (const [typed, line] of [
      ['cutover rollb', 'cutover rollback '],
      ['cutover rollback --fr', 'cutover rollback --from '],
      ['cutover status sho', 'cutover status shop '],
      ['cutover rollback shed --to v4', 'cutover rollback shed --to v4 '],
      ['cutover logs --release=v4', 'cutover logs --release=v4 '],
      ['cutover deploy a', String.raw`cutover deploy a\ folder/`],
    ] as const) {
      // A shell is told nothing where the answer takes longer than whoever types would wait.
      let after = typed as string
      for (let tries = 0; tries < 3 && after === typed; tries++) after = await afterTab(at, typed)
      assert.equal(after, line)
    }
  })

  test(`${shell} evaluates neither what is typed nor what is answered`, { ...slow, skip }, async (t) => {
    const there = temporaryHome(t)
    const trap = join(there.home, 'trap')
    const [asked, answer] = [join(there.home, 'asked'), join(there.home, 'answer')]
    writeFileSync(answer, `odd;$(touch trap)\`touch trap\` '"*\n`)
    const instead = `if [ "$1" = complete ]; then printf '%s\\n' "$@" >'${asked}'; exec cat '${answer}'; fi`
    const at = shellHome(t, shell, { home: there.home, cwd: there.home, instead })
    const line = await afterTab(at, 'cutover status od')
    assert.match(line, /^cutover status odd\\;\\\$\\\(touch\\ trap/)
    await afterTab(at, 'cutover rollback $(touch trap) "`touch trap`" --to $(touch<trap)')
    assert.match(readFileSync(asked, 'utf8'), /^complete\n--\nrollback\n/)
    assert.equal(existsSync(trap), false)
  })
}
