import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { HealthCheck } from '../../src/core/app-config.ts'
import { type HealthQuestion, untilHealthy } from '../../src/instances/health.ts'
import { warmUp } from '../../src/instances/warmup.ts'

/** Longer than any stall of this process: where silence is what it is about, less. */
const rhythm = { intervalMs: 1000, timeoutMs: 3000, healthy: 2, unhealthy: 3 }
const auto: HealthCheck = { ...rhythm, kind: 'auto' }
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** A server that does this to each connection once it was asked something; it notes what it was asked. */
async function serve(
  t: TestContext,
  answer: (socket: Socket, count: number) => void,
  greet?: (socket: Socket) => void,
) {
  const asked: string[] = []
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket.on('error', () => {}).on('close', () => open.delete(socket)))
    if (greet) return greet(socket)
    socket.once('data', (data) => answer(socket, asked.push(String(data))))
  })
  t.after(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { port, asked, open }
}

const dial = (port: number) => async (): Promise<Socket> => {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

const askFor = (port: number, more: Partial<HealthQuestion> = {}) =>
  untilHealthy({
    check: auto,
    connect: dial(port),
    port,
    expectHttp: false,
    run: () => Promise.reject(new Error('no command here')),
    signal: AbortSignal.timeout(20_000),
    ...more,
  })

/** The error of a candidate that never gets healthy. */
const lastWords = (port: number, ms: number, more: Partial<HealthQuestion> = {}): Promise<string> =>
  askFor(port, { ...more, signal: AbortSignal.timeout(ms) }).then(
    () => assert.fail('healthy'),
    (error) => {
      assert.equal(error.name, 'CutoverError')
      return error.message
    },
  )

test('an HTTP app is healthy after answers below 500 in a row, over a fresh connection each', async (t) => {
  const { port, asked } = await serve(t, (socket) => socket.end('HTTP/1.1 404 Not Found\r\n\r\n'))
  const health = await askFor(port)
  assert.match(health.text, /^GET \/ 404, 2 of 2, \d+ ms$/)
  assert.equal(health.http, true)
  assert.equal(asked.length, 2)
  assert.match(asked[0] ?? '', /^GET \/ HTTP\/1\.1\r\n/)
  assert.match(asked[0] ?? '', new RegExp(`^host: localhost:${port}\r$`, 'im'))
  assert.match(asked[0] ?? '', /^user-agent: cutover\r$/im)
  assert.match(asked[0] ?? '', /^connection: close\r$/im)
})

test('a good answer between bad ones is not health', async (t) => {
  const { port, asked } = await serve(t, (socket, count) =>
    socket.end(count === 1 || count > 3 ? ok : 'HTTP/1.1 503 Busy\r\n\r\n'),
  )
  await askFor(port)
  assert.equal(asked.length, 5)
})

test('an app that answers 500 is told in words, with how often', async (t) => {
  const { port } = await serve(t, (socket) => socket.end('HTTP/1.1 500 Oh\r\n\r\n'))
  assert.match(await lastWords(port, 1000), /^GET \/ answered 500, \d+ times$/)
})

test('silence is not health, and the way out is named', async (t) => {
  const { port } = await serve(t, () => {})
  const words = await lastWords(port, 2000, { check: { ...auto, timeoutMs: 300 } })
  assert.match(words, /^GET \/ got no answer within 0\.3 s, \d times; .*health: \{tcp: true\}$/)
})

test('an app that listens on nothing is told so', async (t) => {
  const { port } = await serve(t, () => {})
  assert.match(
    await lastWords(port === 1 ? 2 : 1, 500),
    /^GET \/ could not be asked: connect ECONNREFUSED 127\.0\.0\.1:1, \d+ times$/,
  )
})

for (const [what, act] of [
  ['answers in another protocol', (socket: Socket) => socket.end('-ERR unknown command\r\n')],
  ['closes', (socket: Socket) => socket.end()],
  ['resets', (socket: Socket) => socket.resetAndDestroy()],
] as const) {
  test(`a server that ${what} is a TCP app, healthy by accepting`, async (t) => {
    const { port } = await serve(t, act)
    const health = await askFor(port)
    assert.equal(health.http, false)
    assert.match(health.text, /^accepts connections \(no HTTP\), 2 of 2, \d+ ms$/)
  })

  test(`a server that ${what} is not healthy if earlier releases spoke HTTP`, async (t) => {
    const { port } = await serve(t, act)
    assert.match(await lastWords(port, 500, { expectHttp: true }), /but earlier releases of this app spoke HTTP/)
  })
}

test('a server that speaks first is a TCP app', async (t) => {
  const { port } = await serve(
    t,
    () => {},
    (socket) => socket.write('220 mail ESMTP\r\n'),
  )
  assert.equal((await askFor(port)).http, false)
})

test('HTTP that breaks off is not health', async (t) => {
  const { port } = await serve(t, (socket) => socket.end('HTTP/1.1 200'))
  assert.match(await lastWords(port, 500), /^GET \/ got HTTP that cannot be understood or breaks off/)
})

test('answers that are huge, endless or slow to end do not matter: the head decides', async (t) => {
  for (const body of [
    (socket: Socket) => socket.end(Buffer.alloc(50_000_000)),
    (socket: Socket) => socket.write('data: 1\n\n'),
    (socket: Socket) => {
      const timer = setInterval(() => socket.write('x'.repeat(10_000)), 1)
      socket.on('close', () => clearInterval(timer))
    },
  ]) {
    const { port } = await serve(t, (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
      body(socket)
    })
    assert.equal((await askFor(port)).http, true)
  }
})

test('a head without end is not health', async (t) => {
  const { port } = await serve(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const timer = setInterval(() => socket.write(`x-more: ${'y'.repeat(1000)}\r\n`), 1)
    socket.on('close', () => clearInterval(timer))
  })
  assert.match(await lastWords(port, 1000), /^GET \/ got /)
})

test('interim answers are passed over, and redirects are not followed', async (t) => {
  const { port, asked } = await serve(t, (socket) =>
    socket.end('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 301 Moved\r\nlocation: /elsewhere\r\n\r\n'),
  )
  assert.match((await askFor(port)).text, /^GET \/ 301/)
  assert.ok(asked.every((request) => request.startsWith('GET / ')))
})

test('a path, a host and a status of its own are asked for', async (t) => {
  const { port, asked } = await serve(t, (socket) => socket.end('HTTP/1.1 204 Fine\r\n\r\n'))
  const check: HealthCheck = { ...rhythm, kind: 'http', path: '/up?now', host: 'shop.example', status: 204 }
  assert.match((await askFor(port, { check })).text, /^GET \/up\?now 204, 2 of 2/)
  assert.match(asked[0] ?? '', /^GET \/up\?now HTTP\/1\.1\r\nhost: shop\.example\r\n/)
  assert.match(await lastWords(port, 500, { check: { ...check, status: 200 } }), /answered 204 \(expected 200\)/)
  const { port: wrong } = await serve(t, (socket) => socket.end('HTTP/1.1 404 No\r\n\r\n'))
  assert.match(
    await lastWords(wrong, 500, { check: { ...check, status: null } }),
    /answered 404 \(expected 2xx or 3xx\)/,
  )
})

test('where tcp is asked for, accepting is enough and nothing is sent', async (t) => {
  const { port, asked } = await serve(t, () => {})
  const health = await askFor(port, { check: { ...rhythm, kind: 'tcp' } })
  assert.equal(health.http, null)
  assert.deepEqual(asked, [])
})

test('a command decides by its exit code, and is given up when it takes too long', async () => {
  const check: HealthCheck = { ...rhythm, timeoutMs: 300, kind: 'command', command: ['check', '--fast'] }
  const codes = [1, 0, 0]
  const run = async () => ({ code: codes.shift() ?? 1, signal: null })
  assert.match((await askFor(1, { check, run })).text, /^check --fast, 2 of 2, \d+ ms$/)
  assert.match(await lastWords(1, 500, { check, run }), /^check --fast exited with code 1, \d times$/)
  const hang = (_: readonly string[], signal: AbortSignal) =>
    new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  assert.match(await lastWords(1, 1000, { check, run: hang }), /^check --fast did not end within 0\.3 s/)
})

test('no connection stays behind', async (t) => {
  const { port, open } = await serve(t, (socket) => socket.write(ok))
  await askFor(port)
  while (open.size > 0) await new Promise((resolve) => setTimeout(resolve, 10))
})

test('warm-up requests are sent as often as they are wanted, read to the end, and those that failed are told', async (t) => {
  const { port, asked } = await serve(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha')
    if (asked.at(-1)?.startsWith('GET /cut')) socket.end()
    else setTimeout(() => socket.write('lf'), 20)
  })
  const plan = { connect: dial(port), host: 'shop.example', signal: AbortSignal.timeout(20_000) }
  const all = await warmUp({
    ...plan,
    requests: [
      { path: '/', times: 3 },
      { path: '/cut', times: 1 },
    ],
  })
  assert.match(all.text, /^4 requests, first \d+ ms, last \d+ ms, 1 failed \(GET \/cut broken\)$/)
  assert.equal(asked.filter((request) => request.startsWith('GET / ')).length, 3)
})

test('a warm-up that does not end in time is named', async (t) => {
  const { port } = await serve(t, (socket) => socket.write('HTTP/1.1 200 OK\r\n\r\nfor ever'))
  const plan = {
    connect: dial(port),
    host: 'x',
    signal: AbortSignal.timeout(300),
    requests: [{ path: '/stream', times: 1 }],
  }
  await assert.rejects(warmUp(plan), /warmup: GET \/stream did not end/)
})
