/**
 * `npm run first-minutes`: how long somebody waits who types without a pause, from a fresh clone to the end of the demo, and from `npm install -g`
 * to the first deploy of an own app. npm's cache is empty, so that packages come from the registry; what steers happens in network
 * namespaces. Needs root, git and npm. `--rounds N` does it N times; `--json`; `--write` puts the figures into docs/getting-started.md.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { writeBetweenMarks } from './document.ts'
import { type Figure, figure, type Measured } from './figures.ts'
import { withScope } from './scope.ts'
import { seriesOf } from './statistics.ts'
import { describe, loadNow, surroundingsOf } from './surroundings.ts'
import { tableOf } from './table.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const run = promisify(execFile)

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '1' },
  },
})
const rounds = Number(options.rounds)
if (!Number.isInteger(rounds) || rounds < 1 || rounds > 20) {
  console.error('Usage: npm run first-minutes -- [--json] [--write] [--rounds 1…20]')
  process.exit(2)
}
if (process.getuid?.() !== 0) {
  console.error('first-minutes: needs root, because steering does')
  process.exit(3)
}

/** Seconds by what took them, a round each. */
type Times = Record<string, number[]>
const demo: Times = { 'git clone': [], 'npm ci': [], 'npm run demo': [] }
const own: Times = { 'npm install -g': [], 'cutover init': [], 'cutover deploy': [] }

const loadBefore = loadNow()
for (let i = 0; i < rounds; i++)
  await withScope(async (scope) => {
    const directory = mkdtempSync(join(tmpdir(), 'cutover-first-'))
    scope.after(() => rmSync(directory, { recursive: true, force: true }))
    await playDemo(directory)
    await deployOwn(directory)
  })
const measured: Measured = {
  name: 'first-minutes',
  title: 'The first minutes',
  how: 'Seconds, without the time in which one types.',
  figures: [
    ...inParts('a fresh clone → the end of the demo', demo),
    ...inParts('npm install -g → the first deploy of an own app', own),
  ],
}
const surroundings = surroundingsOf(loadBefore, rounds)
if (options.write) writeBetweenMarks('first-minutes', inWords())
if (options.json) console.log(JSON.stringify({ schema: 1, surroundings, measurements: [measured] }, null, 2))
else console.log(`\n${tableOf([measured])}\n\n${describe(surroundings)}`)

async function playDemo(directory: string): Promise<void> {
  const checkout = join(directory, 'checkout')
  const env = environment(directory)
  await timed(demo, 'git clone', ['git', 'clone', '-q', root, checkout], directory, env)
  await timed(demo, 'npm ci', ['npm', 'ci'], checkout, env)
  await timed(demo, 'npm run demo', inNamespace('npm run demo'), checkout, env)
}

/** A package of that checkout, and a server of a line. */
async function deployOwn(directory: string): Promise<void> {
  const checkout = join(directory, 'checkout')
  await run('npm', ['pack'], { cwd: checkout, env: environment(directory) })
  const file = readdirSync(checkout).find((name) => name.endsWith('.tgz')) ?? ''
  const [prefix, folder, cache] = ['usr', 'shop', 'another-cache'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  mkdirSync(folder)
  writeFileSync(
    join(folder, 'server.js'),
    "require('node:http').createServer((request, response) => response.end('hello')).listen(8080)\n",
  )
  const env = { ...environment(directory), npm_config_cache: cache, CUTOVER_HOME: join(directory, 'home') }
  const cutover = join(prefix, 'bin', 'cutover')
  const install = ['npm', 'install', '-g', '--prefix', prefix, join(checkout, file)]
  await timed(own, 'npm install -g', install, directory, env)
  await timed(own, 'cutover init', [cutover, 'init'], folder, env)
  // The daemon has to be ended in the namespace in which it was started: so the clock is read in there.
  const now = 'date +%s%N'
  const script = `set -e; a=$(${now}); ${cutover} deploy >&2; b=$(${now}); ${cutover} daemon stop --all --yes >&2; echo $((b - a))`
  const [program, ...args] = inNamespace(script)
  const { stdout } = await run(program, args, { cwd: folder, env })
  own['cutover deploy']?.push(Number(stdout) / 1e9)
}

function inNamespace(script: string): [string, ...string[]] {
  return ['unshare', '--net', '--mount', '--', 'sh', '-c', `ip link set lo up && ${script}`]
}

/** With an empty cache of npm's own, and this Node before all others: the package needs one that is new enough. */
function environment(directory: string): NodeJS.ProcessEnv {
  const PATH = [dirname(process.execPath), process.env.PATH].join(delimiter)
  return { ...process.env, PATH, npm_config_cache: join(directory, 'cache') }
}

async function timed(
  times: Times,
  part: string,
  [program = '', ...args]: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  process.stderr.write(`${part} … `)
  const began = performance.now()
  await run(program, args, { cwd, env, maxBuffer: 1 << 26 })
  const seconds = (performance.now() - began) / 1000
  process.stderr.write(`${seconds.toFixed(1)} s\n`)
  times[part]?.push(seconds)
}

/** By round. */
function sumsOf(times: Times): number[] {
  const parts = Object.values(times)
  return Array.from({ length: rounds }, (_, round) => parts.reduce((sum, values) => sum + (values[round] ?? 0), 0))
}

/** How long all took together, and each part. */
function inParts(what: string, times: Times): Figure[] {
  const parts = Object.entries(times).map(([part, values]) => figure(`of it: ${part}`, 's', values))
  return [figure(what, 's', sumsOf(times)), ...parts]
}

/** A line for each of both. */
function inWords(): string {
  const median = (values: readonly number[]) => `${seriesOf(values).median.toFixed(1)} s`
  const line = (what: string, times: Times) =>
    `- **${what}: ${median(sumsOf(times))}** (${Object.entries(times)
      .map(([part, values]) => `\`${part}\` ${median(values)}`)
      .join(', ')}).`
  return [
    line('From a fresh clone to the end of the demo', demo),
    line('From `npm install -g` to the first deploy of an own app', own),
    '',
    `Packages come from the registry, npm's cache being empty, and nobody stops to think; 15 s of the demo are its load. ${describe(surroundings)}`,
  ].join('\n')
}
