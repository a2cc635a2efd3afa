/**
 * A server for the proof that the load client can fail: `node shared-port-server.ts PORT RELEASE` shares its port by SO_REUSEPORT alone.
 * On SIGTERM it does all that a careful server can do: it stops listening, answers what it has accepted, and ends.
 */
import { createServer } from 'node:http'
import process from 'node:process'

const [port, release] = process.argv.slice(2)
const body = `v${release} pid ${process.pid}\n`

const server = createServer((_, response) => {
  response.writeHead(200, { 'Content-Length': body.length })
  response.end(body)
})
server.listen({ port: Number(port), host: '127.0.0.1', reusePort: true }, () => process.send?.('listening'))
process.on('SIGTERM', () => {
  server.close(() => process.exit())
})
