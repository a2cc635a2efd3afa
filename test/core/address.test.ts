import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  addressBytes,
  addressText,
  endpointText,
  isAnyAddress,
  isLinkLocal,
  plainAddress,
} from '../../src/core/address.ts'

test('an address becomes sixteen bytes, however it is written', () => {
  const hex = (text: string) => addressBytes(text).toString('hex')
  assert.equal(hex('127.0.0.1'), '00000000000000000000ffff7f000001')
  assert.equal(hex('0.0.0.0'), '00000000000000000000ffff00000000')
  assert.equal(hex('::'), '0'.repeat(32))
  assert.equal(hex('::1'), `${'0'.repeat(31)}1`)
  assert.equal(hex('::ffff:10.1.2.3'), '00000000000000000000ffff0a010203')
  assert.equal(hex('fd77::2'), 'fd770000000000000000000000000002')
  assert.equal(hex('2001:db8:1:2:3:4:5:6'), '20010db8000100020003000400050006')
  assert.equal(hex('fe80::'), `fe80${'0'.repeat(28)}`)
})

test('sixteen bytes have one text, which is read back as the same bytes', () => {
  const text = (written: string) => addressText(addressBytes(written))
  for (const canonical of ['127.0.0.1', '0.0.0.0', '::', '::1', 'fd77::2', '2001:db8:1:2:3:4:5:6', '1::'])
    assert.equal(text(canonical), canonical)
  assert.equal(text('::ffff:10.1.2.3'), '10.1.2.3')
  assert.equal(text('0:0:0::1'), '::1')
  assert.equal(text('2001:DB8:0:0::1'), '2001:db8::1')
})

test('IPv4 written as IPv6 is told from IPv6', () => {
  assert.equal(plainAddress('::ffff:127.0.0.1'), '127.0.0.1')
  assert.equal(plainAddress('::1'), '::1')
  assert.deepEqual(['0.0.0.0', '::', '::ffff:0.0.0.0', '127.0.0.1', '::1'].map(isAnyAddress), [
    true,
    true,
    true,
    false,
    false,
  ])
  assert.deepEqual([endpointText('127.0.0.1', 80), endpointText('::1', 80)], ['127.0.0.1:80', '[::1]:80'])
})

test('a link-local address is one of fe80::/10', () => {
  for (const text of ['fe80::1', 'febf::1']) assert.equal(isLinkLocal(text), true)
  for (const text of ['fec0::1', 'fd77::1', '::fe80:1', '169.254.0.1']) assert.equal(isLinkLocal(text), false)
})
