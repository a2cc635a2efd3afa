/** A release of another user than the one before: it shares the port all the same, and each worker of either is started again. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { idsOf } from '../../src/linux/enclosure.ts'
import { identify, sendSignal } from '../../src/linux/process.ts'
import { dumpTcp } from '../../src/linux/sock-diag.ts'
import { resolveUser } from '../../src/linux/users.ts'
import { ask, whoAnswers } from '../support/app.ts'
import { assertNoneLost, type Load, losses, lostIn, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { lightLoad, logOf, shopFolder, shopPort } from '../support/shop.ts'
import { eventually } from '../support/workspace.ts'

const skip = asRoot || needs('python3')
const clients = 3

/** Python, since this checkout's own Node may lie where an ordinary user may not go. Its second port is declared nowhere. */
const server = `
import http.server, os, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        body = f"{os.environ['CUTOVER_RELEASE']} pid {os.getpid()} uid {os.getuid()}\\n".encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

time.sleep(float(os.environ.get('LATE', 0)))
while os.path.exists(os.environ.get('WAIT_WHILE', '')):
    time.sleep(0.02)
if os.path.exists(os.environ.get('SLOW_IF', '')):
    time.sleep(float(os.environ['SLOW']))
public = Server(('0.0.0.0', ${shopPort}), Handler)
threading.Thread(target=Server(('127.0.0.1', 9100), Handler).serve_forever, daemon=True).start()
public.serve_forever()
`

const folderOf = (t: TestContext, user: string, more = '') =>
  shopFolder(t, {
    config: `run: /usr/bin/python3 server.py\nuser: ${user}\nworkers: 2\n${more}`,
    files: { 'server.py': server },
  })

async function nodeForUsers(t: TestContext): Promise<TestNode> {
  const node = await startNode(t)
  chmodSync(node.place.home, 0o755)
  return node
}

/** To whom the sockets on the port belong, park's among them. */
const ownersOf = (port = shopPort) => [...new Set(dumpTcp({ states: ['listen'], port }).map(({ uid }) => uid))]

const uidOf = (user: string) => resolveUser(user).uid

function kill(pid = 0): void {
  const worker = identify(pid)
  assert.ok(worker)
  sendSignal(worker, 'SIGKILL')
}

/** `kill -9` of one worker of the release; resolves when another process is there for it and listens. */
async function crash(node: TestNode, release: number, port = shopPort): Promise<void> {
  const of = async () => (await node.app('shop')).releases.find((one) => one.release === release)
  const before = await of()
  const [pid = 0] = before?.pids ?? []
  const own = () => {
    const cgroups = idsOf(`${node.cgroup}/shop.v${release}`)
    return dumpTcp({ states: ['listen'], port }).filter(({ cgroupId }) => cgroups.includes(cgroupId ?? 0n)).length
  }
  const listening = own()
  kill(pid)
  for (const deadline = performance.now() + 120_000; ; ) {
    const now = await of()
    if (now?.restarts === (before?.restarts ?? 0) + 1 && own() === listening && !now.pids.includes(pid)) return
    assert.ok(performance.now() < deadline, JSON.stringify(now))
    assert.ok((now?.restarts ?? 0) <= (before?.restarts ?? 0) + 1, await logOf(node, release))
  }
}

/** A crash takes with it what it was working on, a request a client at most. */
async function assertOnlyInFlight(load: Load, crashes: number): Promise<void> {
  const fates = await load.stop()
  for (const fate of losses) if (fate !== 'reset' && fate !== 'cut') assert.equal(fates[fate], 0, fate)
  assert.ok(lostIn(fates) <= crashes * clients, `${lostIn(fates)} requests were lost in ${crashes} crashes`)
}

test('a change of user loses nothing, nor does the way back, and workers of either user are started again', {
  skip,
}, async (t) => {
  const node = await nodeForUsers(t)
  await node.deploy(folderOf(t, 'daemon'))
  await using load = await lightLoad()
  await using kept = await startLoad({ kind: 'keep-alive', port: shopPort, clients, pauseMs: 15, timeoutMs: 30_000 })
  const { warnings } = await node.deploy(folderOf(t, 'nobody'))
  assert.match(warnings.join(), /v1 runs as daemon, and this release as nobody: .*EADDRINUSE/)
  assert.match(await ask(), new RegExp(`^v2 pid \\d+ uid ${uidOf('nobody')}$`, 'm'))
  assert.deepEqual(ownersOf(), [uidOf('nobody')])
  await load.until('the new release serves', ({ answered }) => (answered.v2 ?? 0) > 20)
  await node.rollback('shop')
  assert.equal(await whoAnswers(), 'v1')
  assert.equal(await whoAnswers(9100), 'v1', 'a port that nobody declared')
  assert.deepEqual(ownersOf(), [uidOf('daemon')])
  await node.rollback('shop', { to: 2 })
  assertNoneLost(await kept.stop())
  assertNoneLost(await load.snapshot())

  await crash(node, 1)
  await crash(node, 2)
  await crash(node, 1)
  await crash(node, 2)
  assert.equal(await whoAnswers(), 'v2')
  await node.rollback('shop', { to: 1 })
  assert.equal(await whoAnswers(), 'v1')
  await assertOnlyInFlight(load, 4)
})

test('a release of another user that does not run any more is started for a rollback', { skip }, async (t) => {
  const node = await nodeForUsers(t)
  const none = 'standby: {keep: 0}'
  await node.deploy(folderOf(t, 'nobody', none))
  await using load = await lightLoad()
  await node.deploy(folderOf(t, 'root', none))
  await node.settled('shop')
  assert.match(await ask(), /^v2 .* uid 0$/m)
  await node.rollback('shop')
  assert.match(await ask(), new RegExp(`^v1 .* uid ${uidOf('nobody')}$`, 'm'))
  assertNoneLost(await load.stop())
})

test('after a release of another user that failed, and after the daemon was killed, workers are started again', {
  skip,
}, async (t) => {
  const node = await nodeForUsers(t)
  await node.deploy(folderOf(t, 'daemon'))
  await using load = await lightLoad()
  const failing = shopFolder(t, { config: 'run: "false"\nuser: nobody\nhealth: {tcp: true}' })
  await assert.rejects(node.deploy(failing), /never went live/)
  assert.deepEqual(ownersOf(), [uidOf('daemon')])
  await crash(node, 1)
  await node.deploy(folderOf(t, 'nobody'))
  await node.killDaemon()
  await node.client.status()
  await crash(node, 1)
  await crash(node, 3)
  await assertOnlyInFlight(load, 3)
})

test('a worker that crashes while a release of another user is starting is started again, and the other goes live', {
  skip,
}, async (t) => {
  const node = await nodeForUsers(t)
  await node.deploy(folderOf(t, 'daemon'))
  await using load = await lightLoad()
  const file = fileForAll(t)
  writeFileSync(file, '')
  const deploying = node.deploy(folderOf(t, 'nobody', `env: {WAIT_WHILE: "${file}"}`))
  await untilStarting(node)
  await crash(node, 1)
  assert.equal((await node.app('shop')).active, 1)
  rmSync(file)
  await deploying
  assert.equal(await whoAnswers(), 'v2')
  await assertOnlyInFlight(load, 1)
})

/** Where a file may be put that every user sees. */
function fileForAll(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-users-'))
  t.after(() => rmSync(directory, { recursive: true }))
  chmodSync(directory, 0o755)
  return join(directory, 'file')
}

/** Resolves when both workers of a candidate are there, which do not listen yet. */
async function untilStarting(node: TestNode): Promise<void> {
  const isStarting = async () =>
    (await node.app('shop')).releases.some(({ state, pids }) => state === 'starting' && pids.length === 2)
  await eventually(isStarting)
}

/** Lines of a config: its workers take so many seconds until they listen, from the moment on at which that is asked for. */
function slowLater(t: TestContext, seconds: number) {
  const file = fileForAll(t)
  return { config: `env: {SLOW_IF: "${file}", SLOW: ${seconds}}`, begin: () => writeFileSync(file, '') }
}

test('a worker of a release that stands by has the ports for as long as it takes until it listens', {
  skip,
}, async (t) => {
  const node = await nodeForUsers(t)
  const slow = slowLater(t, 11)
  await node.deploy(folderOf(t, 'daemon', slow.config))
  await node.deploy(folderOf(t, 'nobody'))
  slow.begin()
  await crash(node, 1)
  await eventually(() => ownersOf().join() === String(uidOf('nobody')))
  await crash(node, 2)
  assert.equal(await whoAnswers(), 'v2')
})

test('workers of several users that are about to listen wait for one another, whoever is first: the active release for nobody', {
  skip,
}, async (t) => {
  const node = await nodeForUsers(t)
  const slow = slowLater(t, 3)
  await node.deploy(folderOf(t, 'daemon', slow.config))
  slow.begin()
  const second = node.deploy(folderOf(t, 'nobody', 'env: {LATE: 1.5}'))
  await untilStarting(node)
  await crash(node, 1)
  assert.equal((await node.app('shop')).active, 1)
  await second
  assert.equal(await whoAnswers(), 'v2')

  const third = node.deploy(folderOf(t, 'www-data', 'env: {LATE: 1.5}'))
  await untilStarting(node)
  kill((await node.app('shop')).releases.find(({ release }) => release === 1)?.pids[0])
  await third
  assert.equal(await whoAnswers(), 'v3')
})

test('releases that take another user by themselves, before they bind, follow each other', { skip }, async (t) => {
  const node = await nodeForUsers(t)
  const config = 'run: /usr/bin/python3 server.py\nuser: root'
  const files = { 'server.py': server.replace('\npublic', `\nos.setuid(${uidOf('www-data')})\npublic`) }
  await node.deploy(shopFolder(t, { config, files }))
  await using load = await lightLoad()
  await node.deploy(shopFolder(t, { config, files }))
  assert.match(await ask(), new RegExp(`^v2 pid \\d+ uid ${uidOf('www-data')}$`, 'm'))
  await crash(node, 2)
  await node.rollback('shop')
  assert.equal(await whoAnswers(), 'v1')
  await assertOnlyInFlight(load, 1)
})

test('an ordinary user has the app’s own port below 1024, and no other', { skip }, async (t) => {
  const node = await nodeForUsers(t)
  const tries = `
import socket
for port in (80, 81, 443):
    try:
        with socket.socket() as s: s.bind(('0.0.0.0', port))
        print(port, 'had', flush=True)
    except OSError as error:
        print(port, error.strerror, flush=True)
`
  const own = server.replaceAll(String(shopPort), '80')
  const config = 'run: /usr/bin/python3 server.py\nport: 80\nuser: nobody'
  await node.deploy(shopFolder(t, { config, files: { 'server.py': tries + own } }))
  assert.match(await logOf(node, 1), /^80 had\n81 Permission denied\n443 Permission denied$/m)
})

test('a port below 1024 stays that of a release that stands by without its successor declaring it, and is given back with it', {
  skip,
}, async (t) => {
  const node = await nodeForUsers(t)
  const own = server.replaceAll(String(shopPort), '80')
  const config = 'run: /usr/bin/python3 server.py\nport: 80\nuser: nobody'
  await node.deploy(shopFolder(t, { config, files: { 'server.py': own } }))
  await node.deploy(folderOf(t, 'nobody'))
  await crash(node, 1, 80)
  await crash(node, 1, 80)
  assert.deepEqual((await node.app('shop')).releases.find(({ release }) => release === 1)?.state, 'standby')
  await node.deploy(folderOf(t, 'nobody'))
  await node.settled('shop')
  assert.deepEqual(dumpTcp({ states: ['listen'], port: 80 }), [])
  const other = own.replace('9100', '9200')
  await node.deploy(shopFolder(t, { app: 'other', config, files: { 'server.py': other } }))
})
