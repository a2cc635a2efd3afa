import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { openLedger } from './load-fates.ts'
import { parseAnswer } from './load-http.ts'
import { frame, parseFrame } from './load-websocket.ts'

const text = fc.string({ unit: 'grapheme-ascii', maxLength: 300 })

const withLength = text.map((body) => ({
  body,
  bytes: Buffer.from(`HTTP/1.1 200 OK\r\nServer: some\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
}))

const inChunks = fc.array(text.filter(Boolean)).map((chunks) => ({
  body: chunks.join(''),
  bytes: Buffer.from(
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks
      .map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`)
      .join('')}0\r\n\r\n`,
  ),
}))

test('an answer is whole when its last byte is there, and at no byte before', () => {
  fc.assert(
    fc.property(fc.oneof(withLength, inChunks), ({ body, bytes }) => {
      for (let length = 1; length < bytes.length; length++)
        assert.equal(parseAnswer(bytes.subarray(0, length)).is, 'partial', `${length} of ${bytes.length} bytes`)
      const parsed = parseAnswer(bytes)
      assert.ok(parsed.is === 'whole')
      assert.equal(parsed.value.body, body)
      assert.equal(parsed.used, bytes.length)
    }),
  )
})

test('what follows an answer is not taken for a part of it', () => {
  fc.assert(
    fc.property(fc.oneof(withLength, inChunks), text, ({ bytes }, more) => {
      const parsed = parseAnswer(Buffer.concat([bytes, Buffer.from(more)]))
      assert.ok(parsed.is === 'whole')
      assert.equal(parsed.used, bytes.length)
    }),
  )
})

test('no bytes whatever make the parsers throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      parseAnswer(Buffer.concat([Buffer.from('HTTP/1.1 '), bytes]))
      parseAnswer(Buffer.from(bytes))
      parseFrame(Buffer.from(bytes))
    }),
  )
})

test('frames that the load client sends are masked, and those without a mask are whole at their last byte only', () => {
  assert.equal(parseFrame(frame(1, Buffer.from('17'))).is, 'malformed')
  const served = Buffer.from([0x81, 5, ...Buffer.from('v1 17')])
  for (let length = 0; length < served.length; length++)
    assert.equal(parseFrame(served.subarray(0, length)).is, 'partial')
  const parsed = parseFrame(served)
  assert.ok(parsed.is === 'whole' && parsed.value.payload.toString() === 'v1 17')
})

test('a request has one fate: telling a second one throws, and so does a message afterwards', () => {
  const ledger = openLedger()
  const request = ledger.begin()
  request.lost('cut', 'as a test')
  assert.throws(() => request.answered('v1'), /cannot be answered as well/)
  assert.throws(() => request.lost('cut', 'again'), /cannot be cut as well/)
  assert.throws(() => request.message('v1', 0), /conversation that was cut/)
  assert.deepEqual([ledger.fates().begun, ledger.fates().pending, ledger.fates().cut], [1, 0, 1])
})
