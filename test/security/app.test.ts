/** What a hostile app, as an ordinary user, finds within its reach: itself, and nothing of Cutover's or of another app. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { resolveUser } from '../../src/linux/users.ts'
import { ask } from '../support/app.ts'
import { pinsOf } from '../support/kernel-part.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { errorOf, goodServer, logOf, shopFolder } from '../support/shop.ts'

const skip = asRoot || needs('python3')
const nobody = resolveUser('nobody')
const python = '/usr/bin/python3'

/** Does what `try.json` says, and tells what came of it; then serves on the port that it declared. */
const hostile = `
import errno, json, os, socket, sys
def told(act):
    try:
        act()
        return 'done'
    except OSError as error:
        return errno.errorcode[error.errno]
def listen(address, shared):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
    if shared: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((address, 8080))
    s.listen()
    kept.append(s)
kept = []
def write(path, flags=os.O_WRONLY):
    f = os.open(path, flags, 0o600)
    os.write(f, b'0')
deeds = {
    'read': lambda path: open(path, 'rb').read(1),
    'list': os.listdir,
    'write': write,
    'make': lambda path: write(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    'replace': lambda path: os.rename(path, path + '.mine'),
    'connect': lambda path: socket.socket(socket.AF_UNIX).connect(path),
    'kill': lambda pid: os.kill(pid, 9),
    'listen': lambda address: listen(address, False),
    'listen shared': lambda address: listen(address, True),
}
report = {
    'fds': {fd: os.readlink('/proc/self/fd/' + fd) for fd in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + fd)},
    'environment': sorted(os.environ),
    'uids': os.getresuid(), 'gids': os.getresgid(),
}
if sys.argv[1] == 'run':
    report['came'] = [[what, on, told(lambda: deeds[what](on))] for what, on in json.load(open('try.json'))]
print('report', sys.argv[1], json.dumps(report), flush=True)
if sys.argv[1] == 'run':
    import http.server
    http.server.HTTPServer(('0.0.0.0', 8081), http.server.SimpleHTTPRequestHandler).serve_forever()
`

interface Report {
  readonly fds: Readonly<Record<string, string>>
  readonly environment: readonly string[]
  readonly uids: readonly number[]
  readonly gids: readonly number[]
  readonly came?: readonly (readonly [string, string | number, string])[]
}

/** The hostile app's reports, by which command of it made them. */
async function reportsOf(t: TestContext, node: TestNode, deeds: readonly (readonly [string, string | number])[]) {
  const each = (command: string) => `[${python}, hostile.py, ${command}]`
  const folder = shopFolder(t, {
    app: 'hostile',
    config: `user: nobody
run: ${each('run')}
port: 8081
build: ${each('build')}
release: ${each('release')}
health: {command: ${each('health')}}`,
    files: { 'hostile.py': hostile, 'try.json': JSON.stringify(deeds) },
  })
  await node.deploy(folder)
  const log = await logOf(node, 1, 'hostile')
  return new Map(
    [...log.matchAll(/^report (\w+) (.*)$/gm)].map(([, which = '', json = '']) => [which, JSON.parse(json) as Report]),
  )
}

test('an app reaches nothing of Cutover and nothing of another app', { skip }, async (t) => {
  const node = await startNode(t)
  const { home } = node.place
  chmodSync(home, 0o755)
  const secret = 'env_file: secret.env'
  await node.deploy(shopFolder(t, { config: secret, server: goodServer, files: { 'secret.env': 'TOKEN=victim' } }))
  const daemon = Number(readFileSync(node.place.lock, 'utf8'))
  const [holder = 0] = cgroupPids(join(node.cgroup, 'holders'))
  assert.ok(holder > 0)
  const victim = (await node.app('shop')).releases[0]?.pids[0] ?? 0
  const [pins, { cgroup }] = [pinsOf(node) ?? '', node]
  for (const pid of [daemon, holder])
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Uid:\t0\t0\t0\t0$/m, 'root in all respects')
  const forbidden = [
    ...['cutover.db', 'cutover.db-wal', 'daemon.log', 'logs/shop/v1.log'].map((file) => ['read', join(home, file)]),
    ...['v1.env.json', 'v1/secret.env'].map((file) => ['read', join(home, 'releases', 'shop', file)]),
    ...[daemon, holder, victim].flatMap((pid) => [
      ['read', `/proc/${pid}/environ`],
      ['read', `/proc/${pid}/mem`],
      ['list', `/proc/${pid}/fd`],
      ['kill', pid],
    ]),
    ...['v1/own', 'v2', 'v1.env.json.partial'].map((file) => ['make', join(home, 'releases', 'shop', file)]),
    ['list', join(home, 'releases')],
    ['make', join(home, 'releases', 'hostile', 'v2')],
    ['replace', join(home, 'releases', 'hostile', 'v1')],
    ['make', join(home, 'logs', 'hostile', 'v2.log')],
    ['replace', join(home, 'logs', 'hostile', 'v1.log')],
    ['make', join(home, 'own')],
    ['replace', node.place.socket],
    ['connect', node.place.socket],
    ['write', node.place.lock],
    ['list', pins],
    ['list', dirname(pins)],
    ...['shop.v1/w1', 'hostile.v1', 'holders', '..', ''].map((at) => ['write', join(cgroup, at, 'cgroup.procs')]),
    ...['cgroup.kill', 'cgroup.freeze'].map((file) => ['write', join(cgroup, 'shop.v1', file)]),
    ['make', join(cgroup, 'own')],
  ] as [string, string | number][]
  const taken = [
    ...['0.0.0.0', '127.0.0.1', '::'].flatMap((address) => [
      ['listen', address],
      ['listen shared', address],
    ]),
  ] as [string, string][]

  const reports = await reportsOf(t, node, [...forbidden, ...taken])
  const came = reports.get('run')?.came ?? []
  assert.equal(came.length, forbidden.length + taken.length)
  const allowed = came.filter(([, , how]) => !['EACCES', 'EPERM', 'EADDRINUSE'].includes(how))
  assert.deepEqual(allowed, [])
  for (let count = 0; count < 20; count++) assert.match(await ask(), /^v1 pid/)
  assert.deepEqual((await node.app('shop')).releases[0]?.pids, [victim])
})

test('its commands have no descriptor, variable or right of the daemon', { skip }, async (t) => {
  const node = await startNode(t)
  chmodSync(node.place.home, 0o755)
  const reports = await reportsOf(t, node, [])
  assert.deepEqual([...reports.keys()].toSorted(), ['build', 'health', 'release', 'run'])
  const log = join(node.place.home, 'logs', 'hostile', 'v1.log')
  for (const [which, { fds, environment, uids, gids }] of reports) {
    assert.deepEqual(fds, { 0: '/dev/null', 1: log, 2: log }, which)
    const own = ['CUTOVER_RELEASE', 'HOME', 'LANG', 'PATH', 'PORT', ...(which === 'run' ? ['CUTOVER_WORKER'] : [])]
    // Python itself may set this one.
    assert.deepEqual(
      environment.filter((name) => name !== 'LC_CTYPE'),
      own.toSorted(),
      which,
    )
    assert.deepEqual([uids, gids], [Array(3).fill(nobody.uid), Array(3).fill(nobody.gid)], which)
  }
})

test('an app of the same user may share the port of another one, and gets no connection: the next deploy names it', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  chmodSync(node.place.home, 0o755)
  const victim = shopFolder(t, {
    config: `run: [${python}, -m, http.server, "8080"]\nuser: nobody`,
    files: { 'index.html': 'the victim' },
  })
  await node.deploy(victim)
  const reports = await reportsOf(t, node, [
    ['listen', '0.0.0.0'],
    ['listen shared', '0.0.0.0'],
  ])
  assert.deepEqual(reports.get('run')?.came?.[0], ['listen', '0.0.0.0', 'EADDRINUSE'])
  // Without the steering the kernel would give it every second one.
  for (let count = 0; count < 40; count++) assert.equal(await ask(), 'the victim')
  assert.match((await errorOf(node.deploy(victim))).message, /Port 8080 is held by hostile v1 \(pid \d+\)/)
  await node.operate('stop', 'shop')
  await assert.rejects(ask(), { code: 'ECONNREFUSED' })
})

test('what is pinned is for root alone', { skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  const pins = pinsOf(node) ?? ''
  const open = [
    pins,
    ...readdirSync(pins, { recursive: true, encoding: 'utf8' }).map((name) => join(pins, name)),
  ].filter((path) => (statSync(path).mode & 0o077) !== 0)
  assert.deepEqual(open, [])
})
