/** Connections one after another are spread over the workers exactly in turn. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import {
  ask,
  askOver,
  askTimes,
  keepAsking,
  startApp,
  startSteering,
  type TestSteering,
  tally,
  workerOf,
} from './fixtures.ts'

const skip = asRoot || needs('python3')
const workers = ['w1', 'w2', 'w3', 'w4']

async function fourWorkers(t: TestContext): Promise<TestSteering> {
  const node = startSteering(t)
  node.steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release({ app: 1, release: 1 })
  for (const [i, name] of workers.entries()) {
    const app = await startApp(t, workerOf(cgroup, i + 1), name)
    await app.run(`listen('::', 8080, v6only=0)`)
  }
  node.steering.park(1)
  node.steering.switchTo(1, 1, { hold: false })
  return node
}

const spread = (counts: Record<string, number>) => {
  assert.deepEqual(Object.keys(counts).toSorted(), workers)
  return Math.max(...Object.values(counts)) - Math.min(...Object.values(counts))
}

test('of 1,000 connections over 4 workers each gets 250, over either family', { skip }, async (t) => {
  const { steering } = await fourWorkers(t)
  assert.equal(spread(await askTimes(1000, 8080)), 0)
  assert.equal(spread(await askTimes(1000, 8080, '::1')), 0)
  assert.equal(steering.accepted({ app: 1, release: 1 }), 2000)
})

test('a client that comes again from the same port takes a turn of its own', { skip }, async (t) => {
  await fourWorkers(t)
  const counts: Record<string, number> = {}
  for (let i = 0; i < 8; i++) {
    const name = await askOver(connect({ port: 8080, host: '127.0.0.1', localPort: 20_001 }))
    counts[name] = (counts[name] ?? 0) + 1
  }
  assert.deepEqual([spread(counts), counts.w1], [0, 2])
})

test('a worker that has gone leaves its turns to all others alike', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release({ app: 1, release: 1 })
  const apps = await Promise.all(workers.map((name, i) => startApp(t, workerOf(cgroup, i + 1), name)))
  for (const app of apps) await app.run(`listen('0.0.0.0', 8080)`)
  steering.switchTo(1, 1, { hold: false })
  await apps[1]?.kill()
  assert.deepEqual(await askTimes(300, 8080), { w1: 100, w3: 100, w4: 100 })
})

test('with SYN cookies for every connection the workers’ shares differ by a tenth at most', { skip }, async (t) => {
  const file = '/proc/sys/net/ipv4/tcp_syncookies'
  const before = readFileSync(file)
  writeFileSync(file, '2')
  t.after(() => writeFileSync(file, before))
  await fourWorkers(t)
  const counts = await askTimes(1000, 8080)
  t.diagnostic(JSON.stringify(counts))
  assert.ok(spread(counts) <= 25)
})

test('under a port scan the workers’ shares differ by a tenth at most', {
  skip: skip || (existsSync('/dev/net/tun') ? false : 'needs TUN'),
}, async (t) => {
  const { steering } = await fourWorkers(t)
  const far = await startApp(t, null, 'far')
  await far.run('import far')
  await far.run('stop = far.scan(8080)')
  // Each SYN takes a turn, so whose turn it is when a client comes is a matter of chance: shares are even in the long run.
  const stop = keepAsking(8, () => ask(8080))
  while (Number(steering.accepted({ app: 1, release: 1 })) < 16_000) await pause(20)
  const counts = await stop()
  const scanned = await far.run('stop()')
  t.diagnostic(`${JSON.stringify(counts)} beside ${scanned} SYNs`)
  assert.ok(Number(scanned) > 1000, 'there was no scan to speak of')
  assert.ok(spread(counts) <= 400)
})

test('IPv4 and IPv6 take turns of their own', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release({ app: 1, release: 1 })
  const two = [await startApp(t, workerOf(cgroup, 1), 'w1'), await startApp(t, workerOf(cgroup, 2), 'w2')]
  // All of IPv4 before all of IPv6: a turn that both shared would go to the same one of each again and again.
  for (const app of two) await app.run(`listen('0.0.0.0', 8080)`)
  for (const app of two) await app.run(`listen('::', 8080, v6only=1)`)
  steering.switchTo(1, 1, { hold: false })
  const answers: string[] = []
  for (let i = 0; i < 20; i++) answers.push(`IPv4 ${await ask(8080)}`, `IPv6 ${await ask(8080, '::1')}`)
  assert.deepEqual(tally(answers), { 'IPv4 w1': 10, 'IPv4 w2': 10, 'IPv6 w1': 10, 'IPv6 w2': 10 })
})

test('where workers listen at several addresses, each address is spread exactly', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release({ app: 1, release: 1 })
  const two = [await startApp(t, workerOf(cgroup, 1), 'w1'), await startApp(t, workerOf(cgroup, 2), 'w2')]
  const addresses = ['127.0.0.1', '127.0.0.2', '::1']
  for (const address of addresses) for (const app of two) await app.run(`listen('${address}', 8080)`)
  steering.switchTo(1, 1, { hold: false })
  const answers: string[] = []
  for (let i = 0; i < 100; i++) for (const address of addresses) answers.push(`${address} ${await ask(8080, address)}`)
  const expected = addresses.flatMap((address) => [`${address} w1`, `${address} w2`])
  assert.deepEqual(tally(answers), Object.fromEntries(expected.map((answer) => [answer, 50])))
})
