/** What an ordinary user's daemon, the holder of the places, and the app's processes do to each other when they are killed. */
import '../../support/ordinary.ts'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { type TestContext, test } from 'node:test'
import { killIn, pidsIn } from '../../../src/linux/enclosure.ts'
import { processStat } from '../../../src/linux/proc.ts'
import { identify, isAlive, sendSignal } from '../../../src/linux/process.ts'
import { openHome } from '../../../src/store/home.ts'
import {
  app,
  appBecomes,
  appFolder,
  ask,
  exampleServer,
  pidsOf,
  port,
  processesOf,
  whoAnswers,
} from '../../support/app.ts'
import { type Checkout, checkout } from '../../support/checkout.ts'
import { cutover } from '../../support/cutover.ts'
import { example, exampleFolder } from '../../support/examples.ts'
import { answeredIn, assertNoneLost, type Fates, fatesTable, type Load, lostIn, startLoad } from '../../support/load.ts'
import { startNode, type TestNode } from '../../support/node.ts'
import { bookOf, placeHolders } from '../../support/running.ts'
import { eventually, temporaryDirectory } from '../../support/workspace.ts'

const clients = 4

/** Two releases, the second active, under load; the load ends with the test. */
async function servedNode(t: TestContext, keys: Readonly<Record<string, unknown>> = {}) {
  const node = await startNode(t)
  const folder = appFolder(t, keys, { 'server.mjs': `${exampleServer}\nsetInterval(() => console.log('tick'), 20)\n` })
  await node.deploy(folder)
  await node.deploy(folder)
  const before = await node.settled(app)
  const loads = [
    await startLoad({ kind: 'short', port, clients, pauseMs: 5, timeoutMs: 60_000 }),
    await startLoad({ kind: 'keep-alive', port, clients, pauseMs: 5, timeoutMs: 60_000 }),
  ]
  t.after(() => Promise.all(loads.map((load) => load[Symbol.asyncDispose]())))
  await goOn(loads)
  return { node, folder, before, loads }
}

/** More is answered; by this release, if one is named, to those who come anew: connections that are kept stay where they are. */
async function goOn(loads: readonly Load[], release?: string): Promise<void> {
  for (const load of release === undefined ? loads : loads.slice(0, 1)) {
    const count = (fates: Fates) => (release === undefined ? answeredIn(fates) : (fates.answered[release] ?? 0))
    const before = count(await load.snapshot())
    await load.until(`${release ?? 'anybody'} answers`, (fates) => count(fates) > before + 20)
  }
}

const stopped = (loads: readonly Load[]): Promise<Fates[]> => Promise.all(loads.map((load) => load.stop()))

async function kill(pid: number): Promise<void> {
  const found = identify(pid)
  assert.ok(found)
  sendSignal(found, 'SIGKILL')
  await eventually(() => !isAlive(found))
}

async function killHolder(node: TestNode): Promise<void> {
  const [holder = 0, ...others] = placeHolders(node)
  assert.deepEqual(others, [])
  await kill(holder)
}

/** Whether a cutover, a rollback and a dark release are what they are called. */
async function assertInOrder(node: TestNode, folder: string, loads: readonly Load[]): Promise<void> {
  const rolledBack = await node.rollback(app)
  await goOn(loads, `v${rolledBack.release}`)
  const deployed = await node.deploy(folder)
  await goOn(loads, `v${deployed.release}`)
  await goOn(loads)
  // The others may still owe somebody an answer.
  await using anew = await startLoad({ kind: 'short', port, clients, pauseMs: 5, timeoutMs: 60_000 })
  await goOn([anew])
  assert.deepEqual(Object.keys((await anew.stop()).answered), [`v${deployed.release}`], 'the others are dark')
}

test('kill -9 of the daemon: traffic and logs go on, and the next one adopts, rolls back and deploys', async (t) => {
  const { node, folder, before, loads } = await servedNode(t)
  await node.killDaemon()
  const log = join(node.place.home, 'logs', app, 'v2.log')
  const ticks = () => readFileSync(log, 'utf8').split('tick').length
  const ticked = ticks()
  await goOn(loads)
  await eventually(() => ticks() > ticked + 20)
  assert.equal(await node.client.daemon().catch(() => null), null, 'there is no daemon')
  assert.deepEqual(processesOf(await node.app(app)), processesOf(before))
  await assertInOrder(node, folder, loads)
  for (const fates of await stopped(loads)) assertNoneLost(fates)
})

test('a holder that is killed is replaced at once, and the next daemon finds all', async (t) => {
  const { node, folder, before, loads } = await servedNode(t)
  for (let times = 0; times < 3; times++) {
    await killHolder(node)
    await eventually(() => placeHolders(node).length === 1)
  }
  await goOn(loads)
  await node.killDaemon()
  assert.deepEqual(processesOf(await node.app(app)), processesOf(before))
  await assertInOrder(node, folder, loads)
  assert.equal(placeHolders(node).length, 1)
  for (const fates of await stopped(loads)) assertNoneLost(fates)
})

test('holder and daemon killed at once: the next daemon makes the places anew, and nobody is lost', async (t) => {
  const { node, folder, before, loads } = await servedNode(t)
  await Promise.all([node.killDaemon(), killHolder(node)])
  await goOn(loads)
  assert.deepEqual(processesOf(await node.app(app)), processesOf(before))
  await eventually(() => placeHolders(node).length === 1)
  await assertInOrder(node, folder, loads)
  const [short, alive] = await stopped(loads)
  assert.ok(short && alive)
  t.diagnostic(`\n${fatesTable({ short, 'keep-alive': alive })}`)
  for (const fates of [short, alive]) assertNoneLost(fates)
})

test('where all was killed the next daemon brings the active release back, and says so', async (t) => {
  const { node, folder, loads } = await servedNode(t)
  await node.killDaemon()
  killIn(node.cgroup)
  await eventually(() => pidsIn(node.cgroup).length === 0)
  const { refused } = (await loads[0]?.snapshot()) ?? { refused: 0 }
  await loads[0]?.until('clients are refused', (fates) => fates.refused > refused)
  const { found } = await node.app(app)
  assert.match(found ?? '', /v2 did not run and is started again/)
  await goOn(loads, 'v2')
  const back = await appBecomes(node, ({ busy, active }) => busy === null && active === 2)
  assert.deepEqual(back.standby, [])
  await node.deploy(folder)
  await assertInOrder(node, folder, loads)
  await stopped(loads)
})

test('of a worker that is killed what it was working on is lost at most, and the rest waits for it', async (t) => {
  const { node, loads } = await servedNode(t, { hold: '1m' })
  for (let times = 1; times <= 3; times++) {
    const { restarts } = (await node.app(app)).releases.find(({ release }) => release === 2) ?? { restarts: 0 }
    const [pid = 0] = pidsOf(await node.app(app), 2)
    const waits = await startLoad({ kind: 'short', port, clients: 8, timeoutMs: 60_000 })
    await waits.until('there is load', (fates) => answeredIn(fates) > 20)
    await kill(pid)
    await appBecomes(node, (status) => pidsOf(status, 2).some((one) => one !== pid))
    assert.ok(restarts < times)
    await goOn([...loads, waits], 'v2')
    const fates = await waits.stop()
    assert.equal(fates.refused + fates.timedOut, 0, fatesTable({ waits: fates }))
    assert.ok(lostIn(fates) <= 8, fatesTable({ waits: fates }))
    // Not twice within what counts as a crash loop.
    await node.operate('restart', app)
    await node.rollback(app, { to: 2 })
  }
  for (const fates of await stopped(loads)) {
    assert.equal(fates.refused + fates.timedOut, 0)
    assert.ok(lostIn(fates) <= 3 * clients, fatesTable({ load: fates }))
  }
})

/** The server as it is, unless there is that file: then it ends at once. */
const unlessBroken = (flag: string): readonly string[] => [
  'sh',
  '-c',
  `test -e ${flag} && exit 1; exec node server.mjs`,
]

test('who waits for longer than hold is refused, and served as soon as it is back', async (t) => {
  const flag = join(temporaryDirectory(t), 'broken')
  const { node, loads } = await servedNode(t, { hold: '2s', run: unlessBroken(flag) })
  writeFileSync(flag, '')
  await kill(pidsOf(await node.app(app), 2)[0] ?? 0)
  const [short] = loads
  assert.ok(short)
  const { refused } = await short.snapshot()
  assert.equal(refused, 0, 'nobody is refused before')
  const fates = await short.until('clients are refused', (fates) => fates.refused > refused)
  assert.ok(fates.longestMs < 30_000)
  const closed = async () =>
    (await node.client.history(app)).some(({ text }) => /connections had waited longer than hold/.test(text))
  while (!(await closed())) await new Promise((resolve) => setTimeout(resolve, 50))
  rmSync(flag)
  await appBecomes(node, (status) => pidsOf(status, 2).length > 0)
  await goOn(loads, 'v2')
  await node.rollback(app)
  await goOn(loads, 'v1')
  await stopped(loads)
})

test('with hold: 0s clients are refused as long as no worker lives', async (t) => {
  const flag = join(temporaryDirectory(t), 'broken')
  const { node, loads } = await servedNode(t, { hold: '0s', run: unlessBroken(flag) })
  writeFileSync(flag, '')
  await kill(pidsOf(await node.app(app), 2)[0] ?? 0)
  const [short] = loads
  await short?.until('clients are refused', (fates) => fates.refused > 20)
  rmSync(flag)
  await appBecomes(node, (status) => pidsOf(status, 2).length > 0)
  await goOn(loads, 'v2')
  await stopped(loads)
})

const gunicorn = example('given-gunicorn')

test('a master whose forked workers accept is killed, and started again', { skip: gunicorn.skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(exampleFolder(t, 'given-gunicorn'))
  await using load = await startLoad({ kind: 'short', port: gunicorn.port, clients: 8, pauseMs: 5, timeoutMs: 60_000 })
  await goOn([load])
  const pids = pidsIn(join(node.cgroup, `${gunicorn.app}.v1`))
  const master = pids.find((pid) => !pids.includes(processStat(pid)?.parent ?? 0))
  assert.ok(master !== undefined && pids.length > 1)
  await kill(master)
  const has = async () => (await node.app(gunicorn.app)).releases[0]
  for (let tries = 0; ((await has())?.restarts ?? 0) === 0 && tries < 600; tries++)
    await new Promise((resolve) => setTimeout(resolve, 50))
  assert.equal((await has())?.restarts, 1)
  await goOn([load], 'v1')
  await eventually(() => pids.every((pid) => !pidsIn(join(node.cgroup, `${gunicorn.app}.v1`)).includes(pid)))
  const fates = await load.stop()
  assert.equal(fates.refused + fates.timedOut, 0, fatesTable({ load: fates }))
  assert.ok(lostIn(fates) <= 8, fatesTable({ load: fates }))
})

/** `cutover daemon` of that checkout, in the foreground; resolves when it answers. */
async function startDaemon(t: TestContext, { command }: Checkout, home: string): Promise<void> {
  const [node, program] = command
  const child = spawn(node, [program, 'daemon'], {
    env: { ...process.env, CUTOVER_HOME: home },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  let said = ''
  for await (const chunk of child.stdout) {
    said += chunk
    if (said.includes('the daemon answers')) return
  }
  assert.fail(`the daemon ended: ${said}`)
}

test('a daemon of another version takes over under load, and is taken over again', async (t) => {
  const other = checkout(t)
  other.change()
  const { node, folder, before, loads } = await servedNode(t)
  const version = async () => (await node.client.daemon())?.version
  const own = await version()
  await startDaemon(t, other, node.place.home)
  assert.notEqual(await version(), own)
  assert.deepEqual(processesOf(await node.app(app)), processesOf(before))
  await assertInOrder(node, folder, loads)
  const { code, stderr } = await cutover(['daemon', 'stop'], { home: node.place.home })
  assert.equal(code, 0, stderr)
  await goOn(loads)
  await node.client.status()
  assert.equal(await version(), own)
  await assertInOrder(node, folder, loads)
  for (const fates of await stopped(loads)) assertNoneLost(fates)
})

/** As any program does that wants the port for itself. */
async function bindAlone(): Promise<void> {
  const server = createServer()
  try {
    await once(server.listen(port), 'listening')
  } finally {
    server.close()
  }
}

test('stop answers what is in flight and keeps the port, start serves again, remove gives all of it back', async (t) => {
  const { node, loads } = await servedNode(t, { drain_timeout: '5s' })
  // Connections that are kept would be used until then.
  assertNoneLost(await (loads.pop() as Load).stop())
  const slow = await startLoad({ kind: 'slow', port, clients, slowMs: 1000 })
  t.after(() => slow[Symbol.asyncDispose]())
  await slow.until('requests are in flight', ({ pending }) => pending === clients)
  await node.operate('stop', app)
  for (const fates of await stopped([slow, ...loads])) {
    const { reset, refused } = fates
    assert.equal(lostIn(fates), refused + reset, fatesTable({ load: fates }))
    // Whoever waited to be accepted in that moment.
    assert.ok(reset <= clients, fatesTable({ load: fates }))
  }
  await assert.rejects(ask(), { code: 'ECONNREFUSED' })
  await assert.rejects(bindAlone(), { code: 'EADDRINUSE' })
  await node.operate('start', app)
  assert.equal(await whoAnswers(), 'v2')
  await node.operate('remove', app)
  assert.equal(bookOf(node), null)
  await eventually(() => pidsIn(node.cgroup).length === 0)
  await bindAlone()
})

test('daemon stop --all leaves no process, no place and no port', async (t) => {
  const { node } = await servedNode(t, { drain_timeout: '1s' })
  const { code, stderr } = await cutover(['daemon', 'stop', '--all', '--yes'], { home: node.place.home })
  assert.equal(code, 0, stderr)
  await eventually(() => pidsIn(node.cgroup).length === 0)
  assert.equal(existsSync(openHome(node.place.home).places), false)
  await bindAlone()
})

/** Takes its socket, and ends it for everybody (shutdown) on SIGUSR1, as some servers do when they are told to end. */
const endsItsSocket = `
import os, signal, socket, threading
listener = socket.socket(fileno=3)
def serve():
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        client.recv(65536)
        body = os.environ['CUTOVER_RELEASE'] + ' ends\\n'
        client.sendall(('HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (len(body), body)).encode())
        client.close()
threading.Thread(target=serve, daemon=True).start()
signal.signal(signal.SIGUSR1, lambda *_: listener.shutdown(socket.SHUT_RDWR))
while True:
    signal.pause()
`

test('releases that end their sockets by themselves cost the active one nobody, and are replaced', async (t) => {
  const node = await startNode(t)
  const good = appFolder(t, { standby: { keep: 3 } })
  const ending = appFolder(
    t,
    { run: ['/usr/bin/python3', 'ends.py'], standby: { keep: 3 } },
    { 'ends.py': endsItsSocket },
  )
  await node.deploy(good)
  await node.deploy(ending)
  await node.deploy(ending)
  await node.rollback(app, { to: 1 })
  const loads = [await startLoad({ kind: 'short', port, clients, pauseMs: 5 })]
  t.after(() => Promise.all(loads.map((load) => load[Symbol.asyncDispose]())))
  await goOn(loads, 'v1')
  for (const release of [2, 3]) for (const pid of pidsOf(await node.app(app), release)) process.kill(pid, 'SIGUSR1')
  await goOn(loads, 'v1')
  const [before] = pidsOf(await node.app(app), 2)
  await node.rollback(app, { to: 2 })
  await goOn(loads, 'v2')
  assert.notDeepEqual(pidsOf(await node.app(app), 2), [before])
  assert.equal((await node.deploy(good)).release, 4)
  await goOn(loads, 'v4')
  await assertInOrder(node, good, loads)
  for (const fates of await stopped(loads)) {
    assertNoneLost(fates)
    assert.deepEqual(Object.keys(fates.answered).sort(), ['v1', 'v2', 'v4', 'v5'])
  }
})
