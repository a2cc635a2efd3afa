import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isOf, notShared, type Standing, standingText, unmovable, unserved } from '../../src/core/reach.ts'

const at = (address: string, more: Partial<Standing> = {}): Standing => ({
  port: 80,
  family: address.includes(':') ? 'ipv6' : 'ipv4',
  address,
  v6only: false,
  device: 0,
  ...more,
})

const told = (address: string | null, ...listeners: Standing[]) =>
  unserved([{ port: 80, protocol: 'tcp', address }], listeners).map(({ entirely, text }) => `${entirely}: ${text}`)

test('an address that is declared is served by sockets of its family, and by `::` for both', () => {
  assert.deepEqual(told(null, at('127.0.0.1')), [])
  assert.deepEqual(told('::', at('::')), [])
  assert.deepEqual(told('::', at('127.0.0.1'), at('::1', { v6only: true })), [])
  assert.deepEqual(told('0.0.0.0', at('::ffff:127.0.0.1')), [])
  assert.deepEqual(told('127.0.0.1', at('0.0.0.0')), [])
})

test('what of it cannot be served is told with the reason, and whether that is all of it', () => {
  assert.deepEqual(told('::', at('127.0.0.1'), at('10.0.0.1')), [
    'false: [::]:80 cannot be served over IPv6: it listens on 127.0.0.1:80, 10.0.0.1:80, which takes IPv4 only',
  ])
  assert.deepEqual(told('::', at('::', { v6only: true })), [
    'false: [::]:80 cannot be served over IPv4: it listens on [::]:80, which takes IPv6 only',
  ])
  assert.deepEqual(told('::1', at('0.0.0.0')), [
    'true: [::1]:80 cannot be served: it listens on 0.0.0.0:80, which takes IPv4 only',
  ])
  assert.deepEqual(told('127.0.0.1', at('::1', { v6only: true })), [
    'true: 127.0.0.1:80 cannot be served: it listens on [::1]:80, which takes IPv6 only',
  ])
  assert.deepEqual(told('0.0.0.0', at('0.0.0.0', { device: 2 })), [
    'false: 0.0.0.0:80 is served over one interface only, to which its socket is bound: it listens on 0.0.0.0:80',
  ])
})

test('a queue moves between sockets that stand alike, and only where the next release has the port at all', () => {
  const left = [at('0.0.0.0'), at('::1', { v6only: true }), at('127.0.0.1', { port: 9000 })]
  assert.deepEqual(unmovable(left, [at('0.0.0.0'), at('::1', { v6only: true })]), [])
  assert.deepEqual(unmovable(left, [at('::')]), left.slice(0, 2))
  assert.deepEqual(unmovable([at('0.0.0.0')], [at('0.0.0.0', { device: 1 })]), [at('0.0.0.0')])
  assert.equal(standingText([at('0.0.0.0'), at('::'), at('0.0.0.0')]), '0.0.0.0:80, [::]:80')
})

test('a connection is of a listener by its port, its family and its address, and a port that is left entirely has no heir either', () => {
  const local = { port: 80, family: 'ipv4', address: '10.0.0.1' } as const
  assert.deepEqual(
    [at('0.0.0.0'), at('10.0.0.1'), at('10.0.0.2'), at('::'), at('0.0.0.0', { port: 81 })].map((one) =>
      isOf(one, local),
    ),
    [true, true, false, false, false],
  )
  const left = [at('0.0.0.0'), at('0.0.0.0', { port: 81 })]
  assert.deepEqual(notShared(left, [at('0.0.0.0')]), left.slice(1))
})
