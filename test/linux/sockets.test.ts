import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { type Descriptor, SystemError } from '../../src/linux/ffi.ts'
import { listenersOn } from '../../src/linux/sock-diag.ts'
import {
  beginConnect,
  bind,
  bindToInterface,
  boundPort,
  closeOneWaiting,
  type Family,
  giveTo,
  interfaceName,
  listen,
  netnsCookie,
  setV6Only,
  sharePort,
  shutDown,
  socketCookie,
  tcpSocket,
} from '../../src/linux/sockets.ts'
import { asRoot } from '../support/namespace.ts'
import { eventually } from '../support/workspace.ts'

const failsWith = (code: string) => (error: unknown) => error instanceof SystemError && error.code === code

function listening(family: Family, address: string, prepare: (socket: Descriptor) => void = () => {}): Descriptor {
  const socket = tcpSocket(family)
  prepare(socket)
  bind(socket, { family, address, port: 0 })
  listen(socket, 16)
  return socket
}

test('a listener stands where it was bound, as the kernel tells it', { skip: asRoot }, () => {
  using four = listening('ipv4', '127.0.0.1', (socket) => giveTo(socket, 65_534))
  using six = listening('ipv6', '::', (socket) => setV6Only(socket, true))
  using lo = listening('ipv4', '0.0.0.0', (socket) => bindToInterface(socket, 1))
  const told = [four, six, lo].map((socket) => {
    const found = listenersOn([boundPort(socket)]).find(({ cookie }) => cookie === socketCookie(socket))
    return found && [found.family, found.localAddress, found.v6only, found.interface, found.uid]
  })
  assert.deepEqual(told, [
    ['ipv4', '127.0.0.1', false, 0, 65_534],
    ['ipv6', '::', true, 0, 0],
    ['ipv4', '0.0.0.0', false, 1, 0],
  ])
  assert.equal(interfaceName(1), 'lo')
  assert.throws(() => interfaceName(4711), failsWith('ENODEV'))
  assert.notEqual(socketCookie(four), socketCookie(six))
  assert.equal(netnsCookie(four), netnsCookie(six))
})

test('a port is shared by those who both ask for it, and by nobody else', { skip: asRoot }, () => {
  using first = listening('ipv4', '127.0.0.1', sharePort)
  const place = { family: 'ipv4', address: '127.0.0.1', port: boundPort(first) } as const
  using alone = tcpSocket('ipv4')
  assert.throws(() => bind(alone, place), failsWith('EADDRINUSE'))
  using second = tcpSocket('ipv4')
  sharePort(second)
  bind(second, place)
  listen(second, 1)
  using strange = tcpSocket('ipv4')
  assert.throws(() => bind(strange, { ...place, address: '10.99.0.1' }), failsWith('EADDRNOTAVAIL'))
})

test('what waits is closed one by one, and a listener that was shut down has nothing', { skip: asRoot }, async () => {
  using listener = listening('ipv4', '127.0.0.1')
  const port = boundPort(listener)
  assert.equal(closeOneWaiting(listener), false)
  const client = connect(port, '127.0.0.1')
  await once(client, 'connect')
  await eventually(() => listenersOn([port])[0]?.receiveQueue === 1)
  const ended = once(client, 'close')
  client.resume()
  assert.equal(closeOneWaiting(listener), true)
  assert.equal(closeOneWaiting(listener), false)
  await ended
  shutDown(listener)
  assert.deepEqual(listenersOn([port]), [])
  assert.throws(() => closeOneWaiting(listener), failsWith('EINVAL'))
  listen(listener, 1)
  assert.equal(listenersOn([boundPort(listener)]).length, 1, 'it may listen anew')
})

test('a connection is begun without waiting, and told at once where it cannot be', { skip: asRoot }, () => {
  using listener = listening('ipv6', '::1')
  using client = tcpSocket('ipv6')
  beginConnect(client, { family: 'ipv6', address: '::1', port: boundPort(listener) })
  using nowhere = tcpSocket('ipv4')
  assert.throws(
    () => beginConnect(nowhere, { family: 'ipv4', address: '203.0.113.1', port: 9 }),
    failsWith('ENETUNREACH'),
  )
})
