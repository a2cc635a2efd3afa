/** Daemons and commands of different versions: checkouts of which one was changed. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { app, appBecomes, appFolder, pidsOf, port } from '../support/app.ts'
import { type Checkout, checkout } from '../support/checkout.ts'
import { startDaemon } from '../support/checkout-daemon.ts'
import { cutover } from '../support/cutover.ts'
import { assertNoneLost, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'

const options = { skip: asRoot }

test(
  'a daemon of another version takes over under load, cuts no deploy, and is taken over again',
  options,
  async (t) => {
    const older = checkout(t)
    const newer = checkout(t)
    newer.change()
    const home = Promise.withResolvers<string>()
    const first = home.promise.then((home) => startDaemon(t, older, home))
    const node = await startNode(t, async (place) => {
      home.resolve(place.home)
      await (await first).answers
    })
    const versions = { older: await versionOf(older), newer: await versionOf(newer) }
    const running = async () => (await node.client.daemon())?.version
    const folder = appFolder(t)
    await node.deploy(folder)
    await node.deploy(folder)
    const before = await node.settled(app)
    const loads = [
      await startLoad({ kind: 'short', port, clients: 8, pauseMs: 2 }),
      await startLoad({ kind: 'keep-alive', port, clients: 8, pauseMs: 5 }),
    ]
    t.after(() => Promise.all(loads.map((load) => load[Symbol.asyncDispose]())))
    using asking = keepAsking(node)

    const building = Promise.withResolvers<void>()
    const waits = join(node.place.home, 'go-on')
    const deploy = node.deploy(
      appFolder(t, { build: ['sh', '-c', `until test -e ${waits}; do sleep 0.05; done`] }),
      ({ type }) => type === 'output' || (type === 'begin' && building.resolve()),
    )
    await building.promise
    const second = startDaemon(t, newer, node.place.home)
    assert.match(
      await second.note,
      new RegExp(`version ${escaped(versions.older)} .*makes place when.*${app} \\(the deploy`),
    )
    assert.equal(await running(), versions.older)
    // Others are not kept waiting meanwhile.
    const other = appFolder(t, { app: 'other', port: 8081, run: 'python3 -m http.server 8081' })
    assert.equal((await node.deploy(other)).release, 1)
    writeFileSync(waits, '')
    assert.equal((await deploy).release, 3)
    await second.answers
    assert.equal(await (await first).exitCode, 0)
    assert.equal(await running(), versions.newer)
    assert.deepEqual(
      (await node.client.history(app)).filter(({ kind }) => kind === 'deploy').map(({ outcome }) => outcome),
      ['done', 'done', 'done'],
    )
    assert.deepEqual(pidsOf(await node.app(app), 2), pidsOf(before, 2), 'what ran runs on')

    const seen = await asking.versions()
    assert.deepEqual([...seen].toSorted(), Object.values(versions).toSorted())

    assert.equal((await node.rollback(app)).release, 2)
    // Nobody else asks now: whoever found no daemon in between would start one of this version before the third is there.
    const third = startDaemon(t, older, node.place.home)
    await third.answers
    assert.equal(await running(), versions.older)
    assert.equal((await node.deploy(folder)).release, 4)
    for (const load of loads) {
      await load.more(100)
      assertNoneLost(await load.stop())
    }

    const same = await cutover(['daemon'], { home: node.place.home, command: older.command })
    assert.equal(same.code, 4)
    assert.match(same.stderr, /^A daemon of this version .* runs already/)
  },
)

for (const { what, file, from, to, says } of [
  {
    what: 'another layout of the pins',
    file: 'strategies/steer/layout.ts',
    from: 'layoutVersion = ',
    to: 'layoutVersion = 9',
    says: /^The kernel programs pinned in .* are of layout \d+, and this version of Cutover knows layout 9\d+\. Nothing was changed/,
  },
  {
    what: 'an older database',
    file: 'store/database.ts',
    from: 'const version = ',
    to: 'const version = -',
    says: /^.*\/cutover\.db was written by a newer Cutover .* nothing was changed/,
  },
])
  test(`a version that knows only ${what} does not take over, and the daemon that runs goes on`, options, async (t) => {
    const other = checkout(t)
    other.change(file, from, to)
    const node = await startNode(t)
    await node.deploy(appFolder(t))
    const before = await node.client.daemon()
    const { code, stderr } = await cutover(['daemon'], { home: node.place.home, command: other.command })
    assert.equal(code, 1, stderr)
    assert.match(stderr, says)
    assert.match(stderr, new RegExp(`\\. The daemon of version \\S+ \\(pid ${before?.pid}\\) goes on\\.\n$`))
    assert.deepEqual(await node.client.daemon(), before)
    const [worker = 0] = pidsOf(await node.app(app), 1)
    process.kill(worker, 'SIGKILL')
    await appBecomes(node, (status) => pidsOf(status, 1).length > 0 && !pidsOf(status, 1).includes(worker))
  })

test('whoever waits to take over and gives up leaves the daemon where it is', options, async (t) => {
  const newer = checkout(t)
  newer.change()
  const node = await startNode(t)
  const before = await node.client.daemon()
  const building = Promise.withResolvers<void>()
  const giveUp = new AbortController()
  const deploy = node.deploy(
    appFolder(t, { build: 'sleep 600' }),
    ({ type }) => type === 'begin' && building.resolve(),
    giveUp.signal,
  )
  await building.promise
  const daemon = startDaemon(t, newer, node.place.home)
  await daemon.note
  // Nothing tells when the daemon has heard it; if it has not by then, this shows less, and fails no less rightly.
  await sleep(2000)
  daemon.process.kill('SIGINT')
  await daemon.exitCode
  giveUp.abort()
  await assert.rejects(deploy, { kind: 'failed' })
  assert.equal((await node.deploy(appFolder(t))).release, 2)
  assert.deepEqual(await node.client.daemon(), before)
})

test('a command and a daemon of different versions say so on one line, and go on', options, async (t) => {
  const command = checkout(t)
  const other = checkout(t)
  other.change(
    'daemon/routes/answers.ts',
    'const status: Status = { schema,',
    'const status: Status = { tomorrow: [1], schema,',
  )
  other.change(
    'daemon/operations.ts',
    'const queue = createProgressQueue()',
    "const queue = createProgressQueue(); queue.push({ type: 'tomorrow' })",
  )
  command.change('client/client.ts', "api.get('/doctor', {})", "api.get('/diagnosis', {})")
  command.change(
    'client/operate.ts',
    "return api.post('/deploy', { json }",
    "return api.post('/deploy', { json: { ...json, tomorrow: 1 } }",
  )
  const node = await startNode(t, ({ home }) => cutover(['status'], { home, command: other.command }))
  const ask = (...args: string[]) => cutover(args, { home: node.place.home, command: command.command })
  const [own, daemon] = await Promise.all([command, other].map(versionOf))
  const line = `This is cutover ${own}, and the daemon is ${daemon}. To put this one in its place, apps and traffic going on: cutover daemon\n`

  const status = await ask('status', '--json')
  assert.deepEqual([status.code, status.stderr], [0, line])
  assert.deepEqual(JSON.parse(status.stdout).tomorrow, [1])
  const deploy = await ask('deploy', appFolder(t))
  assert.equal(deploy.code, 0, deploy.stderr)
  assert.ok(deploy.stderr.includes(line))
  assert.match(deploy.stdout, /is live on :8080/)
  assert.equal((await ask('history')).code, 0)
  const unknown = await ask('doctor')
  assert.equal(unknown.code, 4)
  assert.match(unknown.stderr, /does not know what was asked .*cutover daemon/)
  assert.equal((await ask('version')).stdout.split('\n').length, 3)
})

const versionOf = async ({ command }: Checkout): Promise<string> =>
  (await cutover(['version'], { home: '/tmp/there-is-no-such-home', command })).stdout.trim().split(' ')[1] ?? ''

/** Asks for the status all the while, as commands do that start a daemon where none is. */
function keepAsking({ client }: TestNode): Disposable & { versions(): Promise<Set<string>> } {
  let over = false
  const versions = new Set<string>()
  const asked = (async () => {
    for (; !over; await sleep(10)) versions.add((await client.status()).daemon.version)
    return versions
  })()
  asked.catch(() => {})
  return {
    [Symbol.dispose]: () => {
      over = true
    },
    versions: () => {
      over = true
      return asked
    },
  }
}

const escaped = (text: string): string => text.replaceAll(/[.+]/g, '\\$&')
