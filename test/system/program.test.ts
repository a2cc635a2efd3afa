/** The daemon runs from a copy of its program: nothing that happens to where it came from concerns it. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { identify, sendSignal } from '../../src/linux/process.ts'
import { app, appBecomes, appFolder, pidsOf, port, whoAnswers } from '../support/app.ts'
import { checkout } from '../support/checkout.ts'
import { cutover } from '../support/cutover.ts'
import { assertNoneLost, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { eventually, temporaryDirectory } from '../support/workspace.ts'

const options = { skip: asRoot }

test('a daemon whose checkout is deleted under it ends its work, and goes on', options, async (t) => {
  const { command, directory, remove } = checkout(t)
  const node = await startNode(t, ({ home }) => cutover(['status'], { home, command }))
  const daemon = await node.client.daemon()
  assert.ok(daemon)
  await node.deploy(appFolder(t))
  await using before = await startLoad({ kind: 'short', port, pauseMs: 5 })

  const waits = join(node.place.home, 'go-on')
  const building = Promise.withResolvers<void>()
  const deploy = node.deploy(
    appFolder(t, { build: ['sh', '-c', `until test -e ${waits}; do sleep 0.05; done`] }),
    (progress) => progress.type === 'begin' && progress.step === 'build' && building.resolve(),
  )
  await building.promise
  remove()
  execFileSync('touch', [waits])
  assert.equal((await deploy).release, 2)
  assert.equal(await whoAnswers(), 'v2')
  assertNoneLost(await before.stop())

  const [pid = 0] = pidsOf(await node.app(app), 2)
  const worker = identify(pid)
  assert.ok(worker)
  sendSignal(worker, 'SIGKILL')
  await appBecomes(node, ({ releases }) => releases.some(({ release, restarts }) => release === 2 && restarts === 1))
  await using after = await startLoad({ kind: 'short', port, pauseMs: 5 })
  assert.equal((await node.rollback(app)).release, 1)
  // Another port: for it a holder is started.
  const other = appFolder(t, { app: 'other', port: 8081, run: 'python3 -m http.server 8081' })
  assert.equal((await node.deploy(other)).app, 'other')
  assert.equal((await node.deploy(appFolder(t))).release, 3)
  assert.ok((await node.client.doctor()).checks.length > 0)

  assert.equal((await node.client.daemon())?.pid, daemon.pid)
  assert.ok(!open(daemon.pid).some((path) => path.includes(directory)), 'it has nothing open of the checkout')
  assert.equal(readlinkSync(`/proc/${daemon.pid}/cwd`), '/')
  assertNoneLost(await after.stop())
})

test('the copy belongs to the daemon alone', options, async (t) => {
  const before = process.umask(0)
  t.after(() => process.umask(before))
  const node = await startNode(t)
  const folder = join(node.place.home, 'program')
  for (const name of ['', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })]) {
    const { uid, mode } = statSync(join(folder, name))
    assert.equal(uid, process.geteuid?.(), name)
    assert.equal(mode & 0o022, 0, `${name} has the mode ${mode.toString(8)}`)
    assert.equal(mode & 0o444, 0o444, name)
  }
})

test('a copy that was cut short is never used', options, async (t) => {
  const { command } = checkout(t)
  const home = temporaryDirectory(t)
  const [node, program] = command
  for (const ms of [60, 120, 180, 240, 300]) {
    const starts = spawn(node, [program, 'status'], { env: { ...process.env, CUTOVER_HOME: home }, stdio: 'ignore' })
    await sleep(ms)
    starts.kill('SIGKILL')
    await once(starts, 'close')
  }
  const { code, stderr } = await cutover(['status'], { home, command })
  assert.equal(code, 0, stderr)
  assert.equal((await cutover(['daemon', 'stop', '--all', '--yes'], { home, command })).code, 0)
  // As a disk may have it that lies about what it wrote.
  const [version = ''] = versionsIn(home)
  rmSync(join(home, 'program', version, 'node_modules'), { recursive: true })
  const again = await cutover(['status'], { home, command })
  assert.equal(again.code, 0, again.stderr)
  await cutover(['daemon', 'stop', '--all', '--yes'], { home, command })
})

test('versions that nobody uses any more are removed when a daemon starts', options, async (t) => {
  const node = await startNode(t)
  const folder = join(node.place.home, 'program')
  const inUse = readdirSync(folder)
  const longAgo = new Date(Date.now() - 3_600_000)
  for (const name of ['0.0.1', 'node-v24.0.0', '0.0.2.1a2b3c4d.partial', '0.0.3'])
    mkdirSync(join(folder, name, 'bpf'), { recursive: true })
  for (const name of [...inUse, '0.0.1', 'node-v24.0.0', '0.0.2.1a2b3c4d.partial'])
    utimesSync(join(folder, name), longAgo, longAgo)
  await node.killDaemon()
  await node.client.status()
  await eventually(() => !readdirSync(folder).some((name) => /^0\.0\.[12]|v24/.test(name)))
  assert.deepEqual(readdirSync(folder).toSorted(), [...inUse, '0.0.3'].toSorted(), 'one that was wanted just now stays')
})

test('a changed checkout is another version, and what runs is always the present source', options, async (t) => {
  const { command, change, directory } = checkout(t)
  const home = temporaryDirectory(t)
  const version = async () => (await cutover(['version'], { home, command })).stdout
  const first = await version()
  change()
  const second = await version()
  assert.match(first, /^cutover \d+\.\d+\.\d+\+[0-9a-f]{8}\n$/)
  assert.notEqual(second, first)
  execFileSync(command[0], ['src/daemon/program/build.ts'], { cwd: directory })
  change()
  await cutover(['status'], { home, command })
  const [, cli, daemon] = /^cutover (\S+)\ndaemon (\S+),/.exec(await version()) ?? []
  assert.ok(cli)
  assert.equal(daemon, cli, 'the bundle that was built before the change is not used')
  await cutover(['daemon', 'stop', '--all', '--yes'], { home, command })
})

test('an installed package, which has no sources, runs from its bundle', options, async (t) => {
  const { command, directory } = checkout(t)
  execFileSync(command[0], ['src/daemon/program/build.ts'], { cwd: directory })
  for (const name of ['src', 'bpf', 'node_modules/@esbuild']) rmSync(join(directory, name), { recursive: true })
  const node = await startNode(t, ({ home }) => cutover(['status'], { home, command }))
  const folder = appFolder(t)
  for (const args of [
    ['validate'],
    ['deploy'],
    ['deploy'],
    ['rollback'],
    ['status'],
    ['logs', '-n', '1'],
    ['doctor'],
  ]) {
    const { code, stderr } = await cutover(args, { home: node.place.home, command, cwd: folder })
    assert.equal(code, 0, `${args}: ${stderr}`)
  }
  assert.equal(await whoAnswers(), 'v1')
  const { stdout } = await cutover(['version'], { home: node.place.home, command })
  assert.match(stdout, /^cutover (\S+)\ndaemon \1,/)
})

test(
  'a home from which nothing may be run (noexec), with a long path, on a file system of its own',
  options,
  async (t) => {
    const disk = mkdtempSync(join(tmpdir(), 'cutover-noexec-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'noexec,nosuid,nodev', 'none', disk])
    const under = join(disk, ...Array<string>(8).fill('a-folder-with-a-name'))
    mkdirSync(under, { recursive: true })
    const node = await startNode(t, undefined, under).finally(() => {
      t.after(() => {
        execFileSync('umount', ['--lazy', disk])
        rmdirSync(disk)
      })
    })
    assert.equal((await node.deploy(appFolder(t))).release, 1)
    await using load = await startLoad({ kind: 'short', port, pauseMs: 5 })
    await node.deploy(appFolder(t))
    await node.killDaemon()
    assert.equal((await node.rollback(app)).release, 1)
    assertNoneLost(await load.stop())
  },
)

const versionsIn = (home: string): string[] =>
  readdirSync(join(home, 'program')).filter((name) => /^\d[^.]*\.\d+\.\d+\+\w+$/.test(name))

/** Every file that the process has open, runs or has mapped. */
function open(pid: number): string[] {
  const links = [`/proc/${pid}/exe`, ...readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`)]
  const mapped = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')
  // What is open may be closed meanwhile.
  const targets = links.map((link) => spawnSync('readlink', [link], { encoding: 'utf8' }).stdout)
  return [...targets, ...mapped]
}
