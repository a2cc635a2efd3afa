/**
 * Clients with a slow line: their handshakes are half done when traffic moves, when it is parked, when the active release dies. With a
 * backlog of 5 most of them are SYN cookies, of which the kernel remembers nothing but that there were some.
 */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { type App, ask, startApp, startSteering } from './fixtures.ts'

const skip = asRoot || needs('python3', 'iproute2') || (existsSync('/dev/net/tun') ? false : 'needs TUN')
const many = 40
const listen = `listen('0.0.0.0', 8080, backlog=5)`

/** Two releases, the first one active, and clients far away. */
async function farClients(t: TestContext) {
  writeFileSync('/proc/sys/net/ipv4/tcp_syncookies', '1')
  const node = startSteering(t)
  node.steering.addApp(1, { ports: [8080], holdMs: 60_000 })
  const cgroup = node.release({ app: 1, release: 1 })
  const first = await startApp(t, cgroup, 'v1')
  const second = await startApp(t, node.release({ app: 1, release: 2 }), 'v2')
  for (const app of [first, second]) await app.run(listen)
  node.steering.park(1)
  node.steering.switchTo(1, 1, { hold: true })
  const far = await startApp(t, null, 'far')
  await far.run('import far')
  return { steering: node.steering, cgroup, first, far }
}

/** Of `TcpExt` in /proc/net/netstat, for this network namespace. */
function cookiesSent(): number {
  const [names = [], values = []] = readFileSync('/proc/net/netstat', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('TcpExt'))
    .map((line) => line.split(' '))
  return Number(values[names.indexOf('SyncookiesSent')])
}

async function half(far: App): Promise<void> {
  const before = cookiesSent()
  assert.deepEqual(await far.run(`far.begin(8080, ${many})`), { half: many })
  assert.ok(cookiesSent() > before, 'no cookie was sent')
}

/** Everybody is answered, by these. */
function assertAnswered(answers: unknown, by: readonly string[]): void {
  const counts = answers as Record<string, number>
  assert.deepEqual(Object.keys(counts).toSorted(), by)
  assert.equal(
    Object.values(counts).reduce((a, b) => a + b, 0),
    many,
  )
}

test('handshakes half done at a cutover are all answered', { skip }, async (t) => {
  const { steering, far } = await farClients(t)
  await half(far)
  steering.switchTo(1, 2, { hold: true })
  const answers = await far.run('far.finish()')
  t.diagnostic(JSON.stringify(answers))
  assertAnswered(answers, ['v1', 'v2'])
})

test('handshakes half done when clients begin to be parked are all answered when that ends', { skip }, async (t) => {
  const { steering, far } = await farClients(t)
  await half(far)
  steering.switchTo(1, 0, { hold: true })
  const answers = far.run('far.finish()')
  while (steering.parked(1) < many / 2) await ask(1)
  steering.switchTo(1, 2, { hold: true })
  steering.unpark(1)
  assertAnswered(await answers, ['v1', 'v2'])
})

test('handshakes half done when parking ends are all answered', { skip }, async (t) => {
  const { steering, far } = await farClients(t)
  steering.switchTo(1, 0, { hold: true })
  assert.deepEqual(await far.run(`far.begin(8080, ${many})`), { half: many })
  steering.switchTo(1, 2, { hold: true })
  steering.unpark(1)
  assertAnswered(await far.run('far.finish()'), ['v2'])
})

test('handshakes half done when the active release is killed are all answered by the next one', { skip }, async (t) => {
  const { steering, cgroup, first, far } = await farClients(t)
  await half(far)
  await first.kill()
  const answers = far.run('far.finish()')
  while (steering.parked(1) < many / 2) await ask(1)
  const next = await startApp(t, cgroup, 'next')
  await next.run(listen)
  steering.unpark(1)
  assertAnswered(await answers, ['next'])
})
