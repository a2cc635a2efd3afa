/** What whoever deploys reads when an app listens in a manner that is out of the ordinary. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask } from '../support/app.ts'
import { counterOf } from '../support/kernel-part.ts'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { assertNothingLeft, errorOf, lightLoad, shopFolder } from '../support/shop.ts'

const skip = asRoot || needs('python3', 'util-linux', 'iproute2')

/** Sixty-six listeners that share the port by themselves. */
const manyListeners = `
  import { createServer } from 'node:http'
  const answer = (_, response) => response.end(process.env.CUTOVER_RELEASE + ' here\\n')
  for (let i = 0; i < 66; i++) await new Promise((resolve) => createServer(answer).listen({ port: 8080, reusePort: true }, resolve))`

test('listeners beyond the last place are told in the receipt, in status and among the events; the others serve', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  await using load = await lightLoad()
  const { warnings } = await node.deploy(shopFolder(t, { server: manyListeners }))
  const said = '2 of its listeners on port 8080 get no connections: a release can have 64 on one port'
  assert.ok(warnings.includes(said), warnings.join('\n'))
  assert.equal((await node.app('shop')).releases.find(({ state }) => state === 'active')?.note, said)
  for await (const { text } of node.client.events(0)) if (text === said) break
  await load.until('it answers', ({ answered }) => (answered.v2 ?? 0) > 20)
  await node.rollback('shop')
  assertNoneLost(await load.stop())
})

test('an app in a network namespace of its own is refused with a word at once, and traffic stays', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  await using load = await lightLoad()
  const config = 'run: unshare --net sh -c "ip link set lo up; exec node server.mjs"\ndeploy_timeout: 10m'
  const error = await errorOf(node.deploy(shopFolder(t, { config })))
  assert.match(
    error.message,
    /shop v2 did not start and never went live: pid \d+ listens on port 8080 in a network namespace of its own.*Traffic is on v1/s,
  )
  assertNothingLeft(node, 2)
  assertNoneLost(await load.stop())
})

/** One that tries the port as people do: a second copy by accident, the next one if it is taken; then it shuts down and listens again. */
const awkward = `
import http.server, os, socket, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = (os.environ['CUTOVER_RELEASE'] + ' ' + said + '\\n').encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, format, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    allow_reuse_port = False

said = ''
first = Server(('0.0.0.0', 8080), Handler, bind_and_activate=False)
try:
    first.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    first.server_bind()
    first.socket.listen(5)
    first.socket.listen(99)
    first.socket.shutdown(socket.SHUT_RDWR)
    first.socket.listen(64)
except OSError as error:
    said = 'first: ' + str(error.errno)
for share in (0, 1):
    try:
        again = socket.socket()
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
        again.bind(('0.0.0.0', 8080))
        said += 'shared'
    except OSError as error:
        said += str(error.errno) + ' '
try:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    said += 'mptcp'
except OSError as error:
    said += str(error.errno)
first.serve_forever()
`

test('an app that listens twice, shuts down and listens again, and tries what is taken, sees what it would without Cutover', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  const config = 'run: python3 server.py'
  const folder = shopFolder(t, { config, files: { 'server.py': awkward } })
  await node.deploy(folder)
  await using load = await lightLoad()
  for (let release = 2; release <= 4; release++) {
    const { warnings } = await node.deploy(folder)
    assert.deepEqual(
      warnings.filter((text) => !text.includes('root')),
      [],
    )
    // EADDRINUSE twice, EPROTONOSUPPORT.
    assert.equal((await ask()).trim(), `v${release} 98 98 93`)
  }
  await node.rollback('shop')
  assertNoneLost(await load.stop())
})

/** After twenty answers, each on a connection of its own, its listener closes, and 50 ms later another one binds the port. */
const againAndAgain = `
import { createServer } from 'node:net'
const body = process.env.CUTOVER_RELEASE + ' again\\n'
const head = 'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: ' + body.length + '\\r\\n\\r\\n'
const serve = () => {
  let served = 0
  const server = createServer((socket) => {
    if (++served === 20) server.close(() => setTimeout(serve, 50))
    socket.on('error', () => {})
    socket.once('data', () => socket.end(head + body))
  })
  server.listen(8080)
}
serve()`

test('an app that closes its listener and binds again, time after time, loses nobody: who comes meanwhile waits', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  await using load = await lightLoad()
  const folder = shopFolder(t, { server: againAndAgain })
  for (let release = 2; release <= 3; release++) {
    await node.deploy(folder)
    await load.until('it answers', ({ answered }) => (answered[`v${release}`] ?? 0) > 200)
  }
  assert.ok(counterOf(node, 'parked') > 0, 'nobody came while it did not listen')
  await node.rollback('shop', { to: 1 })
  await load.until('the first answers', ({ answered }) => (answered.v1 ?? 0) > 0)
  assertNoneLost(await load.stop())
})
