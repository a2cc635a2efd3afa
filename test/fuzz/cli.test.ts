/** Whatever is typed after `cutover`, it ends with an exit code of the contract, in words, and in JSON where that was asked for. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { startDaemon } from '../../src/daemon/daemon.ts'
import { ownVersion } from '../../src/program.ts'
import { cutover } from '../support/cutover.ts'
import { temporaryHome } from '../support/daemons.ts'
import { createSmallEngine } from '../support/small-engine.ts'
import { temporaryDirectory } from '../support/workspace.ts'
import { boundedly } from './bounded.ts'
import type { Answer } from './cli-runner.ts'

/** Commands but `events` and followed logs, which go on for ever. */
const commands = [
  'deploy',
  'rollback',
  'status',
  'history',
  'logs',
  'stop',
  'start',
  'remove',
  'doctor',
  'validate',
  'version',
  'help',
]
const later = ['promote', 'canary', 'abort', 'restart', 'pause', 'config']

const word = fc.oneof(
  fc.constantFrom('shop', 'deploys', 'fails', 'busy'),
  fc.constantFrom(
    'shop',
    'fails',
    'busy',
    'nothing',
    'v4',
    '4',
    'v0',
    'v99999',
    '-1',
    '',
    '-',
    '--',
    '10m',
    '2030-01-01',
    '../..',
  ),
  fc.constantFrom(
    'deploys',
    'fails',
    'broken',
    '/',
    '/dev/null',
    '/dev/zero',
    '\u001b[2J',
    'a\nb',
    'é',
    '🙂',
    '__proto__',
    '*',
  ),
  fc.string({ maxLength: 12 }).filter((text) => !text.includes('\0')),
  fc.constant('x'.repeat(5000)),
)
const option = fc.oneof(
  fc.constantFrom(
    '--json',
    '--json',
    '--yes',
    '--help',
    '-h',
    '-V',
    '--version',
    '-n',
    '--lines',
    '--to',
    '--from',
    '--release',
    '--since',
  ),
  fc.constantFrom(
    '--label',
    '--by',
    '--all',
    '--canary',
    '--no-wait',
    '--no-promote',
    '--jsn',
    '-j',
    '--to=v3',
    '--lines=5',
    '-n5',
    '--=',
    '--constructor',
  ),
)
const line = fc
  .tuple(
    fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(...commands) },
      { weight: 1, arbitrary: fc.constantFrom(...later) },
      { weight: 1, arbitrary: fc.oneof(word, option, fc.constantFrom('daemon', 'daemon stop x', 'toString')) },
    ),
    fc.array(fc.oneof(word, option, option), { maxLength: 4 }),
  )
  .map(([command, rest]) => [...command.split(' '), ...rest])

test('any command line', async (t) => {
  const runner = await startRunner(t)
  const codes = new Map<unknown, number>()
  await boundedly(
    fc.asyncProperty(line, async (args) => {
      const { code, stdout, stderr } = await runner(args)
      codes.set(code, (codes.get(code) ?? 0) + 1)
      check(args, code, stdout, stderr)
    }),
    1500,
  )
  t.diagnostic(`exit codes: ${[...codes].map(([code, count]) => `${code}: ${count}`).join(', ')}`)
})

test('and a few as processes of their own', async (t) => {
  const { home, cwd } = await surroundings(t)
  for (const args of [
    [],
    ['deploy', 'deploys', '--json'],
    ['deploy', 'broken', '--json'],
    ['\u001b[2J', '--json'],
    ['logs', '-n', 'x', '--json'],
  ]) {
    const { code, stdout, stderr } = await cutover(args, { home, cwd })
    check(args, code, stdout, stderr)
  }
})

function check(args: readonly string[], code: unknown, stdout: string, stderr: string): void {
  const what = JSON.stringify({ args, code, stdout: stdout.slice(0, 500), stderr: stderr.slice(0, 2000) })
  assert.ok([0, 1, 2, 3, 4, 5, 6, 130].includes(code as number), what)
  assert.doesNotMatch(stderr, /^ +at .*:\d+:\d+\)?$|Cutover itself failed|thrown:/m, what)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  assert.doesNotMatch(stdout + stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/, what)
  if (code !== 0) assert.notEqual(stderr.trim(), '', what)
  if (!args.includes('--json') || isOther(args)) return
  const documents = stdout.split('\n').filter(Boolean)
  assert.equal(documents.length, 1, what)
  assert.equal(JSON.parse(documents[0] ?? '').schema, 1, what)
}

/** `--json` is not asked for where it is the value of another option or an argument; help and versions are text. */
const isOther = (args: readonly string[]): boolean =>
  args[0] === 'help' ||
  args.some((arg) => ['-h', '--help', '-V', '--version'].includes(arg)) ||
  args.some(
    (arg, at) =>
      arg === '--json' &&
      (args.slice(0, at).includes('--') ||
        /^(-n|--(lines|to|from|release|since|label|by|canary))$/.test(args[at - 1] ?? '')),
  )

/** A daemon around an engine in memory, of this version, so that `cutover daemon` finds its place taken; and a folder to be in. */
async function surroundings(t: TestContext) {
  const place = temporaryHome(t)
  const log = { info() {}, warn() {}, error() {} }
  const daemon = await startDaemon({ place, version: ownVersion(), log, open: async () => createSmallEngine() })
  t.after(() => daemon.leave())
  const cwd = temporaryDirectory(t)
  for (const [name, text] of [
    ['deploys', 'app: shop\nrun: node x\nport: 80'],
    ['fails', 'app: fails'],
    ['broken', '[\u001b[2J'],
  ] as const) {
    mkdirSync(join(cwd, name))
    writeFileSync(join(cwd, name, 'cutover.yaml'), text)
  }
  return { home: place.home, cwd }
}

async function startRunner(t: TestContext): Promise<(args: readonly string[]) => Promise<Answer>> {
  const { home, cwd } = await surroundings(t)
  const { NODE_TEST_CONTEXT: _, NO_COLOR: __, FORCE_COLOR: ___, ...environment } = process.env
  const child: ChildProcess = fork(fileURLToPath(new URL('cli-runner.ts', import.meta.url)), [], {
    cwd,
    env: { ...environment, CUTOVER_HOME: home },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'message')
  return async (args) => {
    child.send(args)
    const [answer] = (await once(child, 'message', { signal: AbortSignal.timeout(60_000) })) as [Answer]
    return answer
  }
}
