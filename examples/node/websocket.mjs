// WebSockets (RFC 6455) with nothing but Node, so that the example needs no packages. A real app would use one.
import { createHash } from 'node:crypto'

const TEXT = 0x1
const CLOSE = 0x8
const PING = 0x9
const PONG = 0xa

const longest = 1 << 20

/** Completes the handshake; from then on `onText(text, reply)` is called for every message. */
export function acceptWebSocket(request, socket, onText) {
  const key = request.headers['sec-websocket-key']
  if (request.headers.upgrade?.toLowerCase() !== 'websocket' || !key) {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    return
  }
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
  socket.write(`${head}Sec-WebSocket-Accept: ${accept}\r\n\r\n`)
  socket.setNoDelay()
  socket.on('error', () => socket.destroy())
  // Node's HTTP server leaves it to us to close our half when the client has closed its own without a close frame.
  socket.on('end', () => socket.end())

  const reply = (text) => socket.write(frame(TEXT, Buffer.from(text)))
  let bytes = Buffer.alloc(0)
  let message = []
  socket.on('data', (more) => {
    bytes = Buffer.concat([bytes, more])
    for (let next = parseFrame(bytes); next; next = parseFrame(bytes)) {
      if (next.fault) return socket.end(frame(CLOSE, closeCode(next.fault)))
      bytes = bytes.subarray(next.used)
      if (next.opcode === CLOSE) return socket.end(frame(CLOSE, next.payload))
      if (next.opcode === PING) socket.write(frame(PONG, next.payload))
      if (next.opcode >= CLOSE) continue
      message.push(next.payload)
      if (!next.final) continue
      onText(Buffer.concat(message).toString(), reply)
      message = []
    }
  })
}

/** The first frame in `bytes`, unmasked; null while it is not all there; a `fault` (a status of section 7.4.1) if it must not be. */
function parseFrame(bytes) {
  if (bytes.length < 2) return null
  const short = bytes[1] & 0x7f
  const extra = short === 126 ? 2 : short === 127 ? 8 : 0
  const start = 2 + extra + 4
  if (!(bytes[1] & 0x80)) return { fault: 1002 }
  if (bytes.length < start) return null
  const length = extra === 2 ? bytes.readUInt16BE(2) : extra === 8 ? Number(bytes.readBigUInt64BE(2)) : short
  if (length > longest) return { fault: 1009 }
  if (bytes.length < start + length) return null
  const mask = bytes.subarray(start - 4, start)
  const payload = bytes.subarray(start, start + length).map((byte, at) => byte ^ mask[at % 4])
  return { final: (bytes[0] & 0x80) !== 0, opcode: bytes[0] & 0xf, payload, used: start + length }
}

/** A whole message in one frame; a server's are not masked. */
function frame(opcode, payload) {
  const length = payload.length
  const head = Buffer.alloc(length < 126 ? 2 : length < 1 << 16 ? 4 : 10)
  head[0] = 0x80 | opcode
  head[1] = length < 126 ? length : length < 1 << 16 ? 126 : 127
  if (head.length === 4) head.writeUInt16BE(length, 2)
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, payload])
}

function closeCode(status) {
  const payload = Buffer.alloc(2)
  payload.writeUInt16BE(status)
  return payload
}
