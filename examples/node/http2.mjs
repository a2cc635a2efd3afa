// HTTP/2 in clear text, as gRPC servers behind a balancer speak it. Clients have to know: HTTP/1.1 is not answered.
import { createServer } from 'node:http2'
import { setTimeout as pause } from 'node:timers/promises'
import { version } from './version.mjs'

const name = version()

const pages = {
  '/': (_, stream) => answer(stream, 200, `${name} pid ${process.pid}\n`),

  /** `/slow?ms=3000` takes its time. */
  '/slow': async (query, stream) => {
    await pause(Number(query.get('ms') ?? 1000))
    answer(stream, 200, `${name} slowly\n`)
  },

  /** `/stream?every=1000` sends numbered events until the client leaves. */
  '/stream': (query, stream) => {
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' })
    let count = 0
    const send = () => stream.write(`data: ${name} ${++count}\n\n`)
    const timer = setInterval(send, Number(query.get('every') ?? 1000))
    stream.on('close', () => clearInterval(timer))
    send()
  },
}

const server = createServer()

server.on('stream', (stream, headers) => {
  // A client may leave in the middle of anything.
  stream.on('error', () => {})
  const { pathname, searchParams } = new URL(headers[':path'], 'http://localhost')
  const page = pages[pathname]
  if (page) page(searchParams, stream)
  else answer(stream, 404, 'no such page\n')
})

server.on('sessionError', () => {})
server.listen(8080, () => console.log(`${name} listens on 8080, pid ${process.pid}`))

function answer(stream, status, body) {
  if (stream.destroyed) return
  stream.respond({ ':status': status, 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body) })
  stream.end(body)
}
