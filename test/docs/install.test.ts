/** docs/install.md and the unit that it installs, as far as they can be shown true without a systemd that runs. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { commands } from '../../src/cli/commands.ts'
import { needs } from '../support/packages.ts'
import { temporaryDirectory } from '../support/workspace.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const unit = join(root, 'packaging', 'cutover.service')
const page = readFileSync(join(root, 'docs', 'install.md'), 'utf8')

/** Lines of the page's blocks of commands. */
const lines = page.split('\n').flatMap((line) => (line.startsWith('    ') ? [line.trim()] : []))

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

/** The command that the words name, with those below it (`daemon stop`), and what is left of them. */
async function commandOf([name = '', ...words]: readonly string[]): Promise<readonly [Command, readonly string[]]> {
  const loaded = await commands[name]?.load()
  assert.ok(loaded, `"cutover ${name}" is no command`)
  return lowest(loaded.command(), words)
}

function lowest(command: Command, words: readonly string[]): readonly [Command, readonly string[]] {
  const below = command.commands.find((one) => one.name() === words[0])
  return below === undefined ? [command, words] : lowest(below, words.slice(1))
}

/** All that a line of the page asks of cutover, over ssh and in a forced command too. */
const asked = (line: string): string[] =>
  [...line.matchAll(/(?:^|\s|")cutover ([a-z][^"]*)/g)].map(([, words = '']) => words)

test('every cutover command of the page, and in the text, is one that there is, with options that it has', async () => {
  const inText = [...page.matchAll(/`cutover ([a-z][^`]*)`/g)].map(([, words = '']) => words)
  const all = [...lines.filter((line) => !/^(npm|cp|rm|systemctl|rsync) /.test(line)).flatMap(asked), ...inText]
  assert.ok(all.length >= 12, `${all.length} found`)
  for (const words of all) {
    const [command, args] = await commandOf(words.split(' '))
    const { operands, unknown } = command.exitOverride().parseOptions([...args])
    assert.deepEqual(unknown, [], `cutover ${words}`)
    assert.ok(operands.length <= command.registeredArguments.length, `cutover ${words}`)
  }
})

test('the page names no program but those that it speaks of, and each line is whole', () => {
  for (const line of lines) {
    if (line.startsWith('command="')) continue
    assert.match(line, /^(cutover|npm|cp|rm|systemctl|rsync|ssh) /)
    execFileSync('sh', ['-n', '-c', line], { stdio: ['ignore', 'ignore', 'pipe'] })
  }
})

test('what is installed is what npm packs, under that name, the unit included', (t) => {
  const { version, files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  assert.ok(page.includes(`npm install -g ./cutover-${version}.tgz`))
  assert.ok(files.includes('packaging'))
  // The line of the page itself, with npm's folder and systemd's elsewhere.
  const directory = temporaryDirectory(t)
  execFileSync('mkdir', ['-p', join(directory, 'bin'), join(directory, 'system'), join(directory, 'cutover')])
  execFileSync('ln', ['-s', join(root, 'packaging'), join(directory, 'cutover', 'packaging')])
  const line = lines.find((line) => line.startsWith('cp ')) ?? ''
  const here = line.replace('/etc/systemd/system/', '"$0/system/"').replace('npm root -g', 'echo "$0"')
  execFileSync('sh', ['-c', here, directory], { env: process.env })
  assert.ok(existsSync(join(directory, 'system', 'cutover.service')))
})
