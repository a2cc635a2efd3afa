/** Watching a node through the commands that people and scripts use. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { EventDocument, HistoryEntry, Status } from '../../src/core/documents.ts'
import { app, appBecomes, appFolder, ask, exampleServer, port } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'

const options = { skip: asRoot }

test('status --json tells what is live, what stands by, and who has how many connections', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  await using _talk = await startLoad({ kind: 'websocket', port, clients: 3 })
  await appBecomes(node, ({ releases }) => releases[0]?.connections.open === 3)
  await cutover(['deploy', '--label', 'a1b2c3d'], { home: node.place.home, cwd: folder })
  for (let i = 0; i < 7; i++) await ask()

  const { code, stdout, stderr } = await cutover(['status', '--json'], { home: node.place.home })
  assert.deepEqual([code, stderr], [0, ''])
  const { schema, daemon, apps }: Status = JSON.parse(stdout)
  assert.equal(schema, 1)
  assert.ok(daemon.pid > 0 && daemon.version !== '')
  const [shown, ...others] = apps
  assert.deepEqual([others, shown?.app, shown?.active, shown?.standby, shown?.strategy], [[], app, 2, [1], 'steer'])
  assert.deepEqual(
    shown?.ports.map(({ port, declared }) => [port, declared]),
    [[port, true]],
  )
  const [v2, v1] = shown?.releases ?? []
  assert.deepEqual([v2?.release, v2?.state, v2?.label, v2?.restarts, v2?.note], [2, 'active', 'a1b2c3d', 0, null])
  assert.deepEqual([v2?.connections.accepted, v1?.connections], [7, { open: 3, accepted: 3 }])
  assert.ok(v1?.state === 'draining' || v1?.state === 'standby')
  for (const { pids, memory_mb, since } of [v1, v2].flatMap((one) => one ?? [])) {
    assert.equal(pids.length, 1)
    assert.ok(memory_mb > 10 && new Date(since).toISOString() === since)
  }

  const people = await cutover(['status'], { home: node.place.home })
  assert.match(people.stdout, /^example-node {2}:8080 {2}steer\n {2}v2 {2}active .*a1b2c3d\n {2}v1 /)
})

test('history keeps the receipt of each operation, of failed ones the reason', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  const deployed = await node.deploy(folder)
  const back = await node.rollback(app)
  writeFileSync(join(folder, 'server.mjs'), 'process.exit(9)\n')
  await assert.rejects(node.deploy(folder), { kind: 'failed' })

  const { stdout } = await cutover(['history', app, '--json'], { home: node.place.home })
  const { entries }: { entries: HistoryEntry[] } = JSON.parse(stdout)
  assert.deepEqual(
    entries.map(({ kind, release, outcome, by }) => [kind, release, outcome, by.name]),
    [
      ['deploy', 1, 'done', 'root'],
      ['deploy', 2, 'done', 'root'],
      ['rollback', 1, 'done', 'root'],
      ['deploy', 3, 'failed', 'root'],
    ],
  )
  assert.deepEqual(entries[1]?.receipt, deployed)
  assert.deepEqual(entries[2]?.receipt, back)
  assert.deepEqual(
    deployed.steps.map(({ step }) => step),
    ['copy', 'start', 'healthy', 'cutover'],
  )
  assert.ok(
    deployed.cutover && deployed.cutover.switch_us > 0 && deployed.cutover.total_ms >= deployed.cutover.ready_ms,
  )
  assert.deepEqual(
    [deployed.previous, Object.keys(deployed.accepted), deployed.lost],
    [1, ['v1', 'v2'], { listen_drops: 0, cut: 0 }],
  )
  assert.match(entries[3]?.text ?? '', /did not start and never went live: pid \d+ exited with code 9/)

  const people = await cutover(['history', '-n', '1'], { home: node.place.home, cwd: folder })
  assert.match(people.stdout, /^.*deploy.*v3.*failed.*\n$/)
})

test('events stream what happens as it happens, and --after what was missed', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  const told: EventDocument[] = []
  const watching = await following(
    ['events', '--after', '0', '--json'],
    node.place.home,
    (line) => void told.push(JSON.parse(line)),
  )
  await watching.until(() => told.some(({ event }) => event === 'deploy'))
  await node.deploy(folder)
  await node.rollback(app)
  await watching.until(() => told.some(({ event, release }) => event === 'rollback' && release === 1))
  await watching.end()

  assert.deepEqual(
    told
      .filter(({ event }) => ['deploy', 'rollback', 'deploy-began', 'rollback-began'].includes(event))
      .map(({ event, release }) => [event, release]),
    [
      ['deploy-began', 1],
      ['deploy', 1],
      ['deploy-began', 2],
      ['deploy', 2],
      ['rollback-began', 1],
      ['rollback', 1],
    ],
  )
  const ids = told.map(({ id }) => id)
  assert.deepEqual(
    ids,
    ids.toSorted((a, b) => a - b),
  )
})

test('logs shows the end of what the active release wrote, and of any other by its number', options, async (t) => {
  const node = await startNode(t)
  const says = `for (let n = 1; n <= 200; n++) console.log(name, 'line', n)\n`
  const folder = appFolder(t, {}, { 'server.mjs': exampleServer + says })
  await node.deploy(folder)
  await node.deploy(folder)
  const { home } = node.place

  const all = await linesOf(['logs', app], home)
  assert.deepEqual([all.length, all.filter((line) => line.startsWith('v2 line')).length > 90], [100, true])
  assert.deepEqual(await linesOf(['logs', app, '-n', '2', '--json'], home), [
    '{"schema":1,"lines":[{"release":2,"line":"v2 line 200"},{"release":2,"line":"v2 listens on 8080, pid PID"}]}',
  ])
  assert.match((await linesOf(['logs', '--release', 'v1', '-n', '1'], home)).join(), /^v1 /)
  const none = await cutover(['logs', app, '--release', 'v7'], { home })
  assert.deepEqual([none.code, none.stderr.includes('has no v7')], [4, true], none.stderr)
})

test('logs -f goes on with each new line as the app writes it', options, async (t) => {
  const node = await startNode(t)
  const says = `pages['/say'] = (query, response) => { console.log(query.get('what')); answer(response, 200, 'said') }\n`
  await node.deploy(appFolder(t, {}, { 'server.mjs': exampleServer + says }))
  const { home } = node.place
  const told: string[] = []
  const watching = await following(['logs', app, '-f', '-n', '0'], home, (line) => void told.push(line))
  // What is written before it watches is not new to it: say it until it is heard.
  for (let tries = 0; told.length === 0 && tries < 200; tries++) {
    await ask('/say?what=hello')
    await pause(50)
  }
  await ask('/say?what=goodbye')
  await watching.until(() => told.includes('v1  goodbye'))
  await watching.end()
  assert.deepEqual([...new Set(told)], ['v1  hello', 'v1  goodbye'])
})

test('logs -f goes on with the release that goes live meanwhile', options, async (t) => {
  const node = await startNode(t)
  const folder = appFolder(t)
  await node.deploy(folder)
  const told: string[] = []
  const watching = await following(['logs', app, '-f', '--json'], node.place.home, (line) => {
    const { release, line: text } = JSON.parse(line)
    told.push(`v${release}: ${text.replace(/pid \d+/, 'pid PID')}`)
  })
  await watching.until(() => told.length === 1)
  await node.deploy(folder)
  await watching.until(() => told.length === 2)
  await node.deploy(folder)
  await watching.until(() => told.some((line) => line.startsWith('v3')))
  await watching.end()
  assert.deepEqual(
    told.filter((line) => line.includes('listens')),
    ['v1: v1 listens on 8080, pid PID', 'v2: v2 listens on 8080, pid PID', 'v3: v3 listens on 8080, pid PID'],
  )
})

test('logs --since shows what was written since then, and not what was before', options, async (t) => {
  const node = await startNode(t)
  const says = `pages['/say'] = (query, response) => { console.log(query.get('what')); answer(response, 200, 'said') }\n`
  await node.deploy(appFolder(t, {}, { 'server.mjs': exampleServer + says }))
  await ask('/say?what=early')
  await pause(3000)
  const since = new Date().toISOString()
  await ask('/say?what=late')
  const lines = await linesOf(['logs', app, '--since', since], node.place.home)
  assert.ok(lines.includes('late') && !lines.includes('early'), lines.join('\n'))
  assert.ok((await linesOf(['logs', app, '--since', '1h'], node.place.home)).includes('early'))
})

/** What the command printed; the pids in it are no promise. */
async function linesOf(args: readonly string[], home: string): Promise<string[]> {
  const { code, stdout, stderr } = await cutover(args, { home })
  assert.equal(code, 0, stderr)
  return stdout
    .trimEnd()
    .replace(/pid \d+/g, 'pid PID')
    .split('\n')
}

/** Runs a command that does not end by itself; resolves when it has been started. */
async function following(args: readonly string[], home: string, onLine: (line: string) => void) {
  const started = Promise.withResolvers<ChildProcess>()
  const ended = cutover(args, {
    home,
    meanwhile: (child) => {
      let rest = ''
      child.stdout?.on('data', (bytes) => {
        const lines = (rest + String(bytes)).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) onLine(line)
      })
      started.resolve(child)
    },
  })
  const child = await started.promise
  return {
    until: async (wanted: () => boolean) => {
      const signal = AbortSignal.timeout(30_000)
      while (!wanted()) {
        signal.throwIfAborted()
        await pause(20)
      }
    },
    end: async () => {
      child.kill('SIGTERM')
      await ended
    },
  }
}
