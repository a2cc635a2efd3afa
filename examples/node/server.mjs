// An ordinary server that knows nothing of Cutover. Its port is hard-coded, unless it is given a socket as systemd does it.
import { createServer } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { version } from './version.mjs'
import { acceptWebSocket } from './websocket.mjs'

const name = version()

const pages = {
  '/': (_, response) => answer(response, 200, `${name} pid ${process.pid}\n`),

  /** `/slow?ms=3000` takes its time. */
  '/slow': async (query, response) => {
    await pause(Number(query.get('ms') ?? 1000))
    answer(response, 200, `${name} slowly\n`)
  },

  /** `/stream?every=1000` sends numbered events until the client leaves. */
  '/stream': (query, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' })
    let count = 0
    const send = () => response.write(`data: ${name} ${++count}\n\n`)
    const timer = setInterval(send, Number(query.get('every') ?? 1000))
    response.on('close', () => clearInterval(timer))
    send()
  },
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
  const page = pages[pathname]
  if (page) page(searchParams, response)
  else answer(response, 404, 'no such page\n')
})

/** Every message on `/websocket` comes back with the version before it. */
server.on('upgrade', (request, socket) => {
  acceptWebSocket(request, socket, (text, reply) => reply(`${name} ${text}`))
})

const inherited = process.env.LISTEN_PID === String(process.pid)
server.listen(inherited ? { fd: 3 } : { port: 8080 }, () => console.log(`${name} listens on 8080, pid ${process.pid}`))

function answer(response, status, body) {
  response.writeHead(status, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) })
  response.end(body)
}
