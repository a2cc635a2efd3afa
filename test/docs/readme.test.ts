/** README.md, as somebody follows it: its config, its commands, and the screen that it shows. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { type TestContext, test } from 'node:test'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { temporaryDirectory } from '../support/workspace.ts'
import { type Block, blocksOf, byFirstLine, follow, linesOf, root, shell } from './blocks.ts'

const page = 'README.md'

const textIn = (language: string): string => blocksOf(page).find((block) => block.language === language)?.text ?? ''

const server = `const { createServer } = require('node:http')
createServer((request, response) => response.end('hello')).listen(8080, '0.0.0.0', () => console.log('listens'))`

/** The app of the page, in a repository with a commit: its config is the page's, and one release of it was deployed. */
async function shop(t: TestContext) {
  const node = await startNode(t)
  const place = temporaryDirectory(t)
  const [folder, programs] = [join(place, 'shop'), join(place, 'bin')]
  for (const one of [folder, programs]) mkdirSync(one)
  symlinkSync(join(root, 'bin', 'cutover.js'), join(programs, 'cutover'))
  writeFileSync(join(folder, 'server.js'), server)
  writeFileSync(join(folder, 'cutover.yaml'), textIn('yaml'))
  const PATH = [programs, dirname(process.execPath), process.env.PATH].join(delimiter)
  const env = { ...process.env, PATH, CUTOVER_HOME: node.place.home }
  const run = async (script: string) => {
    const { code, stdout, stderr } = await shell(script, folder, env)
    assert.equal(code, 0, `${script}\n${stdout}\n${stderr}`)
    return { stdout, stderr }
  }
  await run('git init -q && git add . && git -c user.name=ann -c user.email=ann@shop.example commit -qm first')
  await run('cutover deploy')
  return { folder, env, run, node }
}

type Shop = Awaited<ReturnType<typeof shop>>

test('whoever follows the page can do what it says', { skip: asRoot || needs('git') }, async (t) => {
  const at = await shop(t)
  const each = async ({ text }: Block) => {
    for (const line of linesOf(text)) await (line.endsWith(' -f') ? untilItSays(at, line) : at.run(line))
  }
  await follow(
    t,
    page,
    byFirstLine(page, {
      'npm ci && npm run demo': { notRun: 'CI runs them, one after the other, each time', instead: ofCi },
      'cutover deploy': { run: each },
    }),
  )
})

test('the screen of a deploy that the page shows is that of a deploy', { skip: asRoot || needs('git') }, async (t) => {
  const { run } = await shop(t)
  const clients = [1, 2].map(() => connect(8080, '127.0.0.1'))
  const { stdout, stderr } = await run('cutover deploy').finally(() => {
    for (const client of clients) client.destroy()
  })
  const [typed, ...shown] = textIn('console').split('\n')
  assert.equal(typed, '$ cutover deploy')
  // The app of a test is root's, which is warned of.
  const seen = `${stderr}${stdout}`
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('  ! '))
  assert.deepEqual(seen.map(shapeOf), shown.map(shapeOf))
})

/** What stays the same whatever is deployed, and how long it takes. */
const shapeOf = (line: string): string =>
  line
    .replace(/(?<=· )[0-9a-f]{7}$/, 'COMMIT')
    .replaceAll(/[\d,.]+/g, 'N')
    .replaceAll(/N (µs|ms|s)\b/g, 'TIME')
    .replaceAll(/N (B|KB|MB)\b/g, 'SIZE')
    .replaceAll(/\s+/g, ' ')

/** What follows is ended as soon as it has said something. */
async function untilItSays({ folder, env }: Shop, line: string): Promise<void> {
  const child = spawn('bash', ['-c', `exec ${line}`], { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const said = await new Promise((resolve) => {
      child.stdout.once('data', resolve)
      child.once('close', () => resolve(null))
    })
    assert.ok(said, `${line} said nothing`)
  } finally {
    child.kill()
  }
}

function ofCi({ text }: Block): void {
  const steps = readFileSync(join(root, '.ci', 'run'), 'utf8').split('\n')
  for (const command of linesOf(text).flatMap((line) => line.split(' && '))) assert.ok(steps.includes(command), command)
}
