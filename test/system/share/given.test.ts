/** What a program is given that does not open its port itself, and which servers take it, by an ordinary user. */
import '../../support/ordinary.ts'
import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { stringify } from 'yaml'
import { identify, sendSignal } from '../../../src/linux/process.ts'
import { probeAddress } from '../../../src/strategies/share/program.ts'
import { ask, whoAnswers } from '../../support/app.ts'
import { example, exampleFolder } from '../../support/examples.ts'
import { answeredIn, assertNoneLost, startLoad } from '../../support/load.ts'
import { startNode } from '../../support/node.ts'
import { needs } from '../../support/packages.ts'
import { givenNames } from '../../support/servers.ts'
import { temporaryDirectory } from '../../support/workspace.ts'

for (const name of givenNames) {
  test(`${name}: a deploy and a rollback answer with the right release, and lose nothing`, {
    skip: example(name).skip,
  }, async (t) => {
    const { app, port, protocol } = example(name)
    const node = await startNode(t)
    const folder = exampleFolder(t, name)
    const first = await node.deploy(folder)
    assert.equal(first.strategy, 'share')
    assert.equal(await whoAnswers(port), 'v1')
    await using load = await startLoad({ kind: 'short', port, protocol, clients: 2 })
    await node.deploy(folder)
    assert.equal(await whoAnswers(port), 'v2')
    await node.rollback(app)
    assert.equal(await whoAnswers(port), 'v1')
    const fates = await load.stop()
    assertNoneLost(fates)
    assert.ok(answeredIn(fates) > 2)
  })
}

/** Says, on each port that it is given, what it was given: read before anything else is opened. */
const telling = `
import fcntl, json, os, socket, threading

given = [fd for fd in range(3, 1024) if os.path.exists(f"/proc/self/fd/{fd}")]
sockets = [socket.socket(fileno=fd) for fd in given]
told = json.dumps({
    "pid": os.getpid(),
    "environment": dict(os.environ),
    "given": [
        {
            "fd": one.fileno(),
            "port": one.getsockname()[1],
            "listens": one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1,
            "waits": not fcntl.fcntl(one, fcntl.F_GETFL) & os.O_NONBLOCK,
        }
        for one in sockets
    ],
})

def serve(one):
    while True:
        connection, _ = one.accept()
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 200 OK\\r\\nContent-Length: {len(told)}\\r\\nConnection: close\\r\\n\\r\\n{told}".encode())
        connection.close()

for one in sockets:
    threading.Thread(target=serve, args=(one,)).start()
`

interface Told {
  readonly pid: number
  readonly environment: Readonly<Record<string, string>>
  readonly given: readonly unknown[]
}

const told = async (port: number): Promise<Told> => JSON.parse(await ask('/', port))

/** A folder with these files, and a config with these keys. */
function folderWith(
  t: TestContext,
  config: Readonly<Record<string, unknown>>,
  files: Readonly<Record<string, string>>,
): string {
  const folder = temporaryDirectory(t)
  const all = { ...files, 'cutover.yaml': stringify({ app: 'told', bind: 'inherit', ...config }) }
  for (const [file, text] of Object.entries(all)) writeFileSync(join(folder, file), text)
  return folder
}

const ports = [{ port: 8080 }, { port: 8081 }]
const run = 'python3 telling.py'
const files = { 'telling.py': telling }
const skip = needs('python3')

test('a program is given its listening sockets as systemd does it, and no other descriptor', { skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(folderWith(t, { run, ports }, files))
  for (const { port } of ports) {
    const { pid, environment, given } = await told(port)
    assert.deepEqual(given, [
      { fd: 3, port: 8080, listens: true, waits: true },
      { fd: 4, port: 8081, listens: true, waits: true },
    ])
    const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environment
    assert.deepEqual([LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES], [String(pid), '2', '8080:8081'])
  }
})

test('each release is given its own ports, in the order of its config', { skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(folderWith(t, { run, ports }, files))
  await node.deploy(folderWith(t, { run, ports: [{ port: 8082 }, { port: 8080 }] }, files))
  const { environment, given } = await told(8080)
  assert.deepEqual([environment.CUTOVER_RELEASE, environment.LISTEN_FDNAMES], ['v2', '8082:8080'])
  assert.deepEqual(given, [
    { fd: 3, port: 8082, listens: true, waits: true },
    { fd: 4, port: 8080, listens: true, waits: true },
  ])
  await node.rollback('told')
  assert.equal((await told(8081)).environment.LISTEN_FDNAMES, '8080:8081')
})

test('each of several workers is given the same sockets, and told its own pid', { skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(folderWith(t, { run, ports, workers: 2 }, files))
  const seen = new Map<number, Told>()
  for (let asked = 0; asked < 1000 && seen.size < 2; asked++) {
    const one = await told(8080)
    seen.set(one.pid, one)
  }
  assert.equal(seen.size, 2)
  for (const { pid, environment, given } of seen.values()) {
    assert.equal(environment.LISTEN_PID, String(pid))
    assert.equal(environment.LISTEN_FDS, '2')
    assert.equal(given.length, 2)
  }
})

test('what `env` says reaches the program as it was written', { skip }, async (t) => {
  const node = await startNode(t)
  const env = {
    GREETING: 'hello  "$HOME" `id`\n',
    lower_case: "it's",
    _X1: '',
    PS1: '$ ',
    ENV: '/nowhere',
    LISTEN_PID: '1',
  }
  await node.deploy(folderWith(t, { run, ports, env }, files))
  const { pid, environment } = await told(8080)
  for (const [name, value] of Object.entries(env))
    assert.equal(environment[name], name === 'LISTEN_PID' ? String(pid) : value, name)
})

test('nobody but oneself can be the user of an app', async (t) => {
  const node = await startNode(t)
  await assert.rejects(node.deploy(folderWith(t, { run, port: 8080, user: 'root' }, files)), ({ details }) => {
    assert.match(String(details), /cutover\.yaml:\d+: user: root: only a daemon that runs as root can/)
    return true
  })
})

test('a program that is not there is named, and so is an interpreter', async (t) => {
  const node = await startNode(t)
  await assert.rejects(node.deploy(folderWith(t, { run: './serve', port: 8080 }, {})), /serve" was not found/)
  const folder = folderWith(t, { run: './serve', port: 8080 }, { serve: '#!/no/such/interpreter\n' })
  chmodSync(join(folder, 'serve'), 0o755)
  await assert.rejects(
    node.deploy(folder),
    /never went live: pid \d+ exited with code 127.*Its interpreter \(the first line of a script\) or loader does not/s,
  )
})

/** Ends its listener, for every copy of it, once it is asked for that. */
const ending = `
import os, socket, time

listener = socket.socket(fileno=3)
body = f"{os.environ['CUTOVER_RELEASE']} pid {os.getpid()}"
while True:
    try:
        connection, _ = listener.accept()
    except OSError:
        time.sleep(0.1)
        continue
    head = connection.recv(65536)
    connection.sendall(f"HTTP/1.1 200 OK\\r\\nContent-Length: {len(body)}\\r\\nConnection: close\\r\\n\\r\\n{body}".encode())
    connection.close()
    if b"/end" in head:
        listener.shutdown(socket.SHUT_RDWR)
`

/** As the daemon asks the release that has the first place, active or not. */
const askFirstPlace = (path: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const from = { host: '127.0.0.1', port: 8080, localAddress: probeAddress(0), agent: false, path }
    get(from, (answer) => resolve(text(answer))).on('error', reject)
  })

test('a release that ends its listener costs those nothing who wait at another, whatever comes next', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  const folder = folderWith(t, { run: 'python3 ending.py', port: 8080 }, { 'ending.py': ending })
  await node.deploy(folder)
  await node.deploy(folder)
  assert.match(await askFirstPlace('/end'), /^v1 /)
  const active = identify(Number(/pid (\d+)/.exec(await ask())?.[1]))
  assert.ok(active)
  // Those who come now wait in its queue.
  sendSignal(active, 'SIGSTOP')
  const answers = Promise.all(Array.from({ length: 5 }, () => whoAnswers()))
  await node.deploy(folder)
  sendSignal(active, 'SIGCONT')
  assert.deepEqual(new Set(await answers), new Set(['v2']))
  assert.equal(await whoAnswers(), 'v3')
})
