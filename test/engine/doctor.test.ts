/** What doctor says of a machine, and what to do where something is in the way. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Engine } from '../../src/engine/engine.ts'
import { type Parts, parts } from '../../src/engine/parts.ts'
import { dumpTcp } from '../../src/linux/sock-diag.ts'
import { appFolder, port } from '../support/app.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { temporaryDirectory } from '../support/workspace.ts'
import { by, inProcess } from './in-process.ts'

async function found(engine: Engine, check: string) {
  const { strategy, checks } = await engine.doctor()
  const one = checks.find((one) => one.check === check)
  assert.ok(one, `there is no check "${check}"`)
  return { strategy, ok: one.ok, text: one.text }
}

/** Programs of these names in front of the PATH, each of which prints this. */
function programs(t: TestContext, printing: Readonly<Record<string, string>>): void {
  const directory = temporaryDirectory(t)
  for (const [name, text] of Object.entries(printing)) {
    writeFileSync(join(directory, name), `#!/bin/sh\ncat <<'end'\n${text}\nend\n`)
    chmodSync(join(directory, name), 0o755)
  }
  const before = process.env.PATH
  process.env.PATH = `${directory}:${before}`
  t.after(() => {
    process.env.PATH = before
  })
}

test('each thing is looked at, and nothing is left of it where no app is', { skip: asRoot }, async (t) => {
  const { engine, cgroup } = await inProcess(t)
  const { strategy, checks } = await engine.doctor()
  assert.equal(strategy, 'steer')
  assert.deepEqual(
    checks.map(({ check }) => check),
    [
      ...['cgroup v2', 'kernel programs', 'other steering', 'sockets', 'processes'],
      ...['queues move', 'queues wake', 'bpffs', 'shared port', 'kept sockets'],
      ...['memory', 'swap', 'logs', 'NAT'],
    ],
  )
  assert.equal(existsSync(cgroup), false)
})

test('whoever has the ports of an app is named, live and stopped', {
  skip: asRoot,
}, async (t) => {
  const { engine, deploy } = await inProcess(t)
  await deploy(appFolder(t))
  const own = await found(engine, 'ports of example-node')
  assert.ok(own.ok, own.text)
  assert.match(own.text, /example-node v1 \(pid \d+\) listens on \S+, port 8080/)
  assert.match(own.text, /a holder \(pid \d+\) listens on \S+, port 8080/)

  await engine.stop('example-node', by, () => {})
  const stopped = await found(engine, 'ports of example-node')
  assert.ok(stopped.ok, stopped.text)
  assert.doesNotMatch(stopped.text, /v1/)
})

test('a program that stands where the app is reached is told, with what to do, and steer works all the same', {
  skip: asRoot,
}, async (t) => {
  const { engine, deploy } = await inProcess(t)
  await deploy(appFolder(t))
  await engine.stop('example-node', by, () => {})
  // With the holder the port can only be had beside it.
  const other = createServer()
  await new Promise<void>((resolve) => other.listen({ port, host: '127.0.0.1', reusePort: true }, resolve))
  t.after(() => other.close())
  const { strategy, ok, text } = await found(engine, 'ports of example-node')
  assert.equal(strategy, 'steer')
  assert.equal(ok, false, text)
  assert.match(
    text,
    /^node \(pid \d+\) listens on 127\.0\.0\.1, port 8080, where example-node is to be reached\. End that/,
  )
})

test('a rule that sends the port of an app elsewhere is told, with what to do', { skip: asRoot }, async (t) => {
  const rule = `tcp dport ${port} redirect to :3000`
  programs(t, {
    nft: `table ip web {\n chain in {\n type nat hook prerouting priority dstnat;\n ${rule}\n }\n}`,
    'iptables-save': '',
    'ip6tables-save': '',
  })
  const { engine, deploy } = await inProcess(t)
  assert.deepEqual([(await found(engine, 'NAT')).ok], [true])
  await deploy(appFolder(t))
  const { strategy, ok, text } = await found(engine, 'NAT')
  assert.deepEqual([strategy, ok], ['steer', false])
  assert.ok(text.includes(`by the rule: ${rule}. Delete the rule`), text)
})

test('where what waits is lost with its listener steer does not work; where it only wakes nobody it does', {
  skip: asRoot,
}, async (t) => {
  let tried: Parts['tryQueues'] = () => parts.tryQueues(() => {})
  const { engine } = await inProcess(t, { ...parts, tryQueues: (...given) => tried(...given) })
  const lost = await found(engine, 'queues move')
  assert.deepEqual([lost.strategy, lost.ok], [null, false])
  assert.match(lost.text, /^8 of 8 connections that waited in a listener were lost when it ended\. The kernel has to/)
  assert.equal((await found(engine, 'queues wake')).ok, false)

  tried = async () => ({ waiting: 8, moved: 8, woken: false })
  assert.equal((await found(engine, 'queues move')).ok, true)
  const asleep = await found(engine, 'queues wake')
  assert.deepEqual([asleep.strategy, asleep.ok], ['steer', false])
  assert.match(asleep.text, /only when another connection came.*\. Use a kernel that wakes it/)

  tried = parts.tryQueues
  assert.equal((await found(engine, 'queues move')).ok, true)
})

test('queues are tried beside an app under whose port nothing changes', { skip: asRoot }, async (t) => {
  const { engine, deploy } = await inProcess(t)
  await deploy(appFolder(t))
  const before = dumpTcp({ states: ['listen'] }).map(({ cookie }) => cookie)
  const { ok, text } = await found(engine, 'queues move')
  assert.ok(ok, text)
  assert.deepEqual(
    dumpTcp({ states: ['listen'] }).map(({ cookie }) => cookie),
    before,
  )
})

test('where no kernel program can be pinned, each check that failed says what to do', { skip: asRoot }, async (t) => {
  const refused = () => {
    throw new Error('bpf: EPERM (the kernel said no)')
  }
  const { engine } = await inProcess(t, { ...parts, openSteering: refused })
  const { strategy, checks } = await engine.doctor()
  assert.equal(strategy, null)
  const wrong = checks.filter(({ ok }) => !ok)
  assert.deepEqual(
    wrong.map(({ check }) => check).filter((check) => check !== 'memory'),
    ['kernel programs', 'other steering', 'bpffs'],
  )
  for (const { text } of wrong) assert.match(text, /\. [A-Z].{10}/)
})

test('a bpffs that process 1 does not see is told from one that it does', {
  skip: asRoot || needs('util-linux'),
}, (t) => {
  const directory = temporaryDirectory(t)
  const mounts = fileURLToPath(import.meta.resolve('../../src/linux/mounts.ts'))
  const asks = `import { isSeenByInit } from '${mounts}'; process.stdout.write(isSeenByInit('${directory}') + ';')`
  const mount = `mount -t tmpfs none ${directory}`
  const node = `${process.execPath} --input-type=module -e "$1"`
  // A process 1 of its own, which alone may be looked into wherever this runs.
  const script = [
    node,
    `unshare --mount sh -c '${mount}; ${node}' sh "$1"`,
    mount,
    `unshare --mount sh -c '${node}' sh "$1"`,
    'true',
  ].join('\n')
  const said = execFileSync('unshare', ['--pid', '--fork', '--mount', '--mount-proc', 'sh', '-c', script, 'sh', asks], {
    encoding: 'utf8',
    cwd: dirname(directory),
    timeout: 60_000,
  })
  assert.equal(said, 'same namespace;unseen;seen;')
})
