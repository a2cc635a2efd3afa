/** What an `env_file` holds is in the release's own files, which only their owner may read, and in the app's environment: nowhere else. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { identify, sendSignal } from '../../src/linux/process.ts'
import { appBecomes, ask } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { errorOf, goodServer, shopFolder } from '../support/shop.ts'

const skip = asRoot

/** Says aloud what it is asked for, so that the test knows that the secret got there, and fails as its folder says. */
const server = `
import { existsSync } from 'node:fs'
if (existsSync('exit')) { console.log('no database'); process.exit(3) }
${goodServer
  .replace('answer())', "request.url === '/secret' ? process.env.TOKEN : answer())")
  .replace('response.end(', "(response.statusCode = existsSync('sick') ? 500 : 200) && response.end(")}`

test('a secret is nowhere but in the files of its releases and in the environment of the app', { skip }, async (t) => {
  const node = await startNode(t)
  const { home } = node.place
  // Its beginning is looked for: an error that quotes a text quotes that.
  const mark = `x${randomBytes(4).toString('hex')}`
  const secret = `${mark}-${randomBytes(12).toString('hex')}`
  const config = (more = '') => `workers: 2\nenv_file: [.env, more.env]\n${more}`
  const folder = shopFolder(t, {
    app: 'example-node',
    config: config('build: sh -c "echo built"\nrelease: sh -c "echo migrated"\nhealth: {command: sh -c true}'),
    server,
    files: { '.env': `# the first\nexport TOKEN="${secret}"\n`, 'more.env': `PASSWORD='${secret}\nof two lines'\n` },
  })
  const configured = (text: string) =>
    writeFileSync(join(folder, 'cutover.yaml'), `app: example-node\nrun: node server.mjs\nport: 8080\n${text}`)
  const other = shopFolder(t, { app: 'other', config: 'port: 8081', server: goodServer.replace('8080', '8081') })
  await node.deploy(other)
  const said: string[] = []
  /** One `cutover` that fails or not as it should; all that it says is kept. */
  const run = async (expected: number, ...args: string[]) => {
    const { code, stdout, stderr } = await cutover(args, { home, cwd: folder })
    said.push(stdout, stderr)
    assert.equal(code, expected, stderr)
  }

  await run(0, 'deploy')
  assert.equal(await ask('/secret'), secret, 'the app itself has it')
  assert.ok(cgroupPids(join(node.cgroup, 'holders')).length > 0 && cgroupPids(join(node.cgroup, 'other.v1')).length > 0)
  assert.deepEqual(seenElsewhere(node, mark), [])

  configured(config('deploy_timeout: 3s'))
  writeFileSync(join(folder, 'sick'), '')
  await run(1, 'deploy')
  configured(config('build: sh -c "exit 4"'))
  await run(1, 'deploy', '--json')
  configured(config('release: sh -c "exit 4"'))
  await run(1, 'deploy', '--json')
  configured(config())
  writeFileSync(join(folder, 'exit'), '')
  await run(1, 'deploy')
  for (const broken of [`${secret}\n`, `= ${secret}\n`, `1${secret}=1\n`, `A="${secret}\n${secret}\0"\n`]) {
    writeFileSync(join(folder, 'more.env'), `# a comment\nTOKEN=${secret}\n${broken}`)
    const error = await errorOf(node.deploy(folder))
    assert.match(error.message, /env_file more\.env .*line 3 is neither/)
    said.push(error.message, ...error.details)
  }
  writeFileSync(join(folder, 'more.env'), `TOKEN=${secret}\n`)
  writeFileSync(join(home, 'releases', 'example-node', 'v1.env.json'), `${secret} and damaged`)
  // v1 would start with what it was given itself: no newer release is there.
  await run(0, 'stop')
  await run(1, 'start')
  writeFileSync(join(home, 'releases', 'example-node', 'v1.env.json'), JSON.stringify({ TOKEN: secret }))
  await run(0, 'start')

  configured(config('standby: {keep: 0}'))
  for (const file of ['sick', 'exit']) rmSync(join(folder, file))
  await run(0, 'deploy', '--json')
  await node.settled('example-node')
  await run(0, 'rollback')
  const { releases, active } = await node.app('example-node')
  const [pid = 0] = releases.find(({ release }) => release === active)?.pids ?? []
  const worker = identify(pid)
  assert.ok(worker)
  sendSignal(worker, 'SIGKILL')
  await appBecomes(node, ({ releases }) => releases.some(({ restarts, pids }) => restarts > 0 && pids.length === 2))
  assert.equal(await ask('/secret'), secret)
  await node.killDaemon()
  for (const command of ['status', 'history', 'logs', 'doctor', 'validate']) await run(0, command, '--json')
  for (const command of ['status', 'history', 'logs']) await run(0, command)
  for await (const event of node.client.events(0)) {
    said.push(JSON.stringify(event))
    if (event.event === 'recovered' || event.event === 'rollback') break
  }

  assert.deepEqual(seenElsewhere(node, mark), [])
  assert.equal(said.join('\n').includes(mark), false, 'somebody said it')
  await run(0, 'remove', 'example-node', '--yes')
  assert.deepEqual(filesWith(home, mark), [], 'it has gone with the app')
})

/** Where the secret is besides where it belongs, in words. */
function seenElsewhere({ place, cgroup }: TestNode, secret: string): string[] {
  // Those of the app itself, not the holders, nor those of another app.
  const releases = readdirSync(cgroup).filter((name) => name.startsWith('example-node.'))
  const own = new Set(releases.flatMap((name) => cgroupPids(join(cgroup, name))))
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const inProcesses = processes.flatMap((pid) => [
    ...(read(`/proc/${pid}/cmdline`).includes(secret) ? [`the command line of ${pid}`] : []),
    ...(!own.has(Number(pid)) && read(`/proc/${pid}/environ`).includes(secret) ? [`the environment of ${pid}`] : []),
  ])
  const inFiles = filesWith(place.home, secret).filter(
    (file) =>
      !/^releases\/example-node\/v\d+(\.env\.json|\/\.env|\/more\.env)$/.test(file) ||
      (statSync(join(place.home, file)).mode & 0o777) !== 0o600,
  )
  return [...inProcesses, ...inFiles]
}

/** Files below the folder that hold the text, relative to it; kernel objects apart, which cannot be read. */
const filesWith = (folder: string, text: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(join(folder, 'bpf')))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => read(file).includes(text))
    .map((file) => relative(folder, file))

/** As bytes; empty if it has gone meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
