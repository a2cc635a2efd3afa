import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type ListenOptions, type Socket } from 'node:net'
import process from 'node:process'
import { type TestContext, test } from 'node:test'
import { cgroupId, insideCgroup } from '../../src/linux/cgroup.ts'
import { dumpTcp, holdersOf, listenersOn } from '../../src/linux/sock-diag.ts'
import { asRoot } from '../support/namespace.ts'
import { eventually, temporaryCgroup } from '../support/workspace.ts'

async function listen(t: TestContext, options: ListenOptions): Promise<number> {
  const server = createServer()
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => sockets.add(socket))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  server.listen(options)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

for (const [host, address, family, v6only] of [
  ['127.0.0.1', '127.0.0.1', 'ipv4', false],
  ['0.0.0.0', '0.0.0.0', 'ipv4', false],
  ['::1', '::1', 'ipv6', true],
  ['::ffff:127.0.0.1', '::ffff:127.0.0.1', 'ipv6', false],
  ['::', '::', 'ipv6', false],
] as const) {
  test(`a listener at ${host} is found where it asked to be`, async (t) => {
    const port = await listen(t, { host, port: 0, ipv6Only: v6only })
    const [found, ...others] = listenersOn([port])
    assert.deepEqual(others, [])
    assert.equal(found?.localAddress, address)
    assert.equal(found.family, family)
    assert.equal(found.v6only, v6only)
    assert.equal(found.state, 'listen')
    assert.equal(found.uid, process.getuid?.())
    assert.ok(found.cookie > 0n)
    assert.deepEqual(holdersOf(found.inode), [process.pid])
  })
}

test('a connection shows its two ends and the cgroup of its listener', { skip: asRoot }, async (t) => {
  const cgroup = temporaryCgroup(t)
  // Without a host the socket is made at once, while this process is inside.
  const port = await insideCgroup(cgroup, () => listen(t, { port: 0 }))
  const client = connect(port, '127.0.0.1')
  t.after(() => client.destroy())
  await once(client, 'connect')
  const [found] = dumpTcp({ states: ['established'], port })
  assert.equal(found?.remotePort, client.localPort)
  assert.equal(found?.remoteAddress, '::ffff:127.0.0.1')
  assert.equal(found?.cgroupId, cgroupId(cgroup))
  assert.deepEqual(dumpTcp({ states: ['listen'], port: client.localPort ?? 0 }), [])
})

test('connections that a listener has no room for are counted as its drops', { skip: asRoot }, async (t) => {
  const port = await listen(t, { host: '127.0.0.1', port: 0, backlog: 1 })
  assert.equal(listenersOn([port])[0]?.sendQueue, 1)
  // Nothing is accepted while this function does not suspend: the queue holds two, what comes then is dropped.
  const clients = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  t.after(() => {
    for (const client of clients) client.destroy()
  })
  await eventually(() => (listenersOn([port])[0]?.drops ?? 0) > 0)
})

test('sockets by the hundred are all told', async (t) => {
  const port = await listen(t, { host: '127.0.0.1', port: 0, backlog: 511 })
  const clients = Array.from({ length: 400 }, () => connect(port, '127.0.0.1'))
  t.after(() => {
    for (const client of clients) client.destroy()
  })
  await Promise.all(clients.map((client) => once(client, 'connect')))
  const ports = new Set(dumpTcp({ states: ['established'], port }).map((socket) => socket.remotePort))
  assert.ok(clients.every((client) => ports.has(client.localPort ?? 0)))
})
