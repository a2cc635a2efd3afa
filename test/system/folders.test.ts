/** Folders as people have them: `init` writes a config, and with that file as it is two releases are deployed and one is taken back, under load. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { after, type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { ask } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { checkAsEditor } from '../support/editor.ts'
import { type FolderName, folderNames, folderOf } from '../support/folders.ts'
import { inFolder, lacks, type Machine, moveIn, placeOf, prepareMachine } from '../support/folders-home.ts'
import { checkRows, checkTitles, type Seen } from '../support/folders-table.ts'
import { answeredIn, assertNoneLost, type Load, lostIn, startLoad } from '../support/load.ts'
import { startNode } from '../support/node.ts'

const variable = 'CUTOVER_TEST_FOLDERS'
// What needs the registry first: this file runs itself again in a namespace that has no network.
process.env[variable] ??= JSON.stringify(await prepareMachine())
const { asRoot } = await import('../support/namespace.ts')
const machine: Machine = JSON.parse(process.env[variable] ?? '')
after(() => rmSync(machine.directory, { recursive: true, force: true }))
if (!asRoot) moveIn(machine)

for (const name of folderNames) {
  const { title } = folderOf(name)
  test(`${title}: init and deploy as it is, a second deploy, a rollback`, {
    skip: asRoot || lacks(name),
    timeout: 30 * 60_000,
  }, async (t) => {
    checkRows(await carried(t, name))
  })
}

test('the page is of these folders and no other', checkTitles)

async function carried(t: TestContext, name: FolderName): Promise<Seen> {
  const { make, deployed, changes, path } = folderOf(name)
  const folder = placeOf(machine, name)
  const cwd = join(folder, deployed)
  const { place } = await startNode(t)
  const run = async (...args: string[]) => {
    const ran = await cutover(args, { home: place.home, cwd, environment: { PATH: machine.path } })
    assert.equal(ran.code, 0, `cutover ${args.join(' ')}\n${ran.stdout}\n${ran.stderr}`)
    return ran.stdout
  }
  const made = async () => {
    if (make !== null) await inFolder(machine, name, make, { HOME: machine.home })
  }

  await made()
  const said = await run('init')
  const file = join(cwd, 'cutover.yaml')
  const text = readFileSync(file, 'utf8')
  const config: Record<string, unknown> = parse(text)
  for (const [key, value] of Object.entries(config))
    assert.ok(
      said.includes(typeof value === 'object' ? JSON.stringify(value) : String(value)),
      `${key} is printed\n${said}`,
    )
  checkAsEditor(file)
  const port = Number(config.port)

  const live = [liveIn(await run('deploy'))]
  assert.match(await ask(path, port), /^v1\b/)
  const loads = await lightLoad(t, path, port)
  await answers(loads, 'v1')

  for (const change of changes.map((file) => join(folder, file)))
    writeFileSync(change, readFileSync(change, 'utf8').replace('v1', 'v2'))
  await made()
  live.push(liveIn(await run('deploy')))
  assert.match(await ask(path, port), /^v2\b/)
  await answers(loads, 'v2')

  live.push(liveIn(await run('rollback')))
  assert.match(await ask(path, port), /^v1\b/)
  assert.equal(readFileSync(file, 'utf8'), text, 'the config is what init wrote')

  const fates = await Promise.all(loads.map((load) => load.stop()))
  for (const each of fates) assertNoneLost(each)
  const total = (of: typeof answeredIn) => fates.reduce((sum, each) => sum + of(each), 0)
  return { name, config, live, answered: total(answeredIn), lost: total(lostIn) }
}

/** Clients that come anew for each request, and others that stay. */
async function lightLoad(t: TestContext, path: string, port: number): Promise<readonly Load[]> {
  const kinds = ['short', 'keep-alive'] as const
  return await Promise.all(
    kinds.map(async (kind) => {
      const load = await startLoad({ kind, path, port, clients: 2, pauseMs: 10 })
      t.after(() => load[Symbol.asyncDispose]())
      return load
    }),
  )
}

/** Waits until those who come anew were answered by the release. */
const answers = async ([load]: readonly Load[], release: string): Promise<unknown> =>
  load?.until(`${release} answered`, ({ answered }) => (answered[release] ?? 0) > 20)

/** `v2`, of "shop v2 is live on :8080" or "v1 is live again". */
function liveIn(said: string): string {
  const [, release] = /(v\d+) is live (?:again|on :\d+)/.exec(said) ?? []
  assert.ok(release, said)
  return release
}
