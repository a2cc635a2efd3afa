/** The client's half of RFC 6455: the handshake, masked text frames out, whole frames in. */
import { createHash, randomBytes } from 'node:crypto'
import { excerpt, type Head, type Parsed } from './load-http.ts'

/** The request that asks for a WebSocket, and whether an answer to it is the right one. */
export function handshake(path: string, host: string): { request: string; check(head: Head): string | null } {
  const key = randomBytes(16).toString('base64')
  const expected = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  const request =
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`
  const check = (head: Head) => {
    if (head.status !== 101) return `status ${head.status}, expected 101`
    return head.headers['sec-websocket-accept'] === expected ? null : 'the wrong Sec-WebSocket-Accept'
  }
  return { request, check }
}

export const opcodes = { text: 0x1, close: 0x8, ping: 0x9, pong: 0xa } as const

/** A final frame of at most 125 bytes, masked as a client's must be (section 5.3). */
export function frame(opcode: number, payload: Uint8Array): Buffer {
  if (payload.length > 125) throw new RangeError('the load client sends short frames only')
  const mask = randomBytes(4)
  const masked = payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0))
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask, masked])
}

export interface Frame {
  readonly opcode: number
  readonly payload: Buffer
}

/** The first frame that a server sent (section 5.2). Fragments and long frames are not expected: nothing here is longer than a line. */
export function parseFrame(bytes: Buffer): Parsed<Frame> {
  const [first, second] = bytes
  if (first === undefined || second === undefined) return { is: 'partial' }
  if ((first & 0xf0) !== 0x80 || second > 125) return { is: 'malformed', why: `an unexpected frame: ${excerpt(bytes)}` }
  const used = 2 + second
  if (bytes.length < used) return { is: 'partial' }
  return { is: 'whole', value: { opcode: first & 0xf, payload: bytes.subarray(2, used) }, used }
}
