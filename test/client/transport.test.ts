import assert from 'node:assert/strict'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { askOver, codeOf, isNobodyThere, type Request } from '../../src/client/transport.ts'
import { temporaryDirectory } from '../support/workspace.ts'

const question: Request = { method: 'GET', target: '/status', headers: {} }

/** The path of a socket at which the server listens. */
async function at(t: TestContext, server: Server): Promise<string> {
  const path = join(temporaryDirectory(t), 'socket')
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => open.add(socket))
  t.after(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return path
}

const http = (t: TestContext, answer: RequestListener) => at(t, createHttpServer(answer))

/** A server that says this to whoever asks, each piece by itself, and hangs up. */
const saying = (t: TestContext, pieces: readonly string[]) =>
  at(
    t,
    createServer((socket) =>
      socket.once('data', async () => {
        for (const piece of pieces) {
          socket.write(piece)
          await new Promise(setImmediate)
        }
        socket.end()
      }),
    ),
  )

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts).toString()
}

test('a question arrives as it was asked, and its answer as it was given', async (t) => {
  const path = await http(t, async (request, response) => {
    const body = await textOf(request)
    const { method, url, headers } = request
    response.writeHead(201, { 'cutover-version': '9' })
    response.end(JSON.stringify({ method, url, length: headers['content-length'], by: headers['cutover-by'], body }))
  })
  const asked = { method: 'POST', target: '/deploy?a=b%20c', headers: { 'cutover-by': 'zo%C3%AB' } } as const
  const answer = await askOver(path, { ...asked, body: '{"label":"ünï"}' })
  assert.deepEqual([answer.ok, answer.version], [true, '9'])
  assert.deepEqual(await answer.json(), {
    method: 'POST',
    url: '/deploy?a=b%20c',
    length: '17',
    by: 'zo%C3%AB',
    body: '{"label":"ünï"}',
  })
})

test('a body that Node sends in chunks is read as it comes', async (t) => {
  const { promise: readFirst, resolve: go } = Promise.withResolvers<void>()
  const path = await http(t, async (_, response) => {
    response.write('first\n')
    await readFirst
    response.write('ünï'.repeat(30_000))
    response.end('last')
  })
  let text = ''
  for await (const part of (await askOver(path, question)).body) {
    text += Buffer.from(part).toString('latin1')
    go()
  }
  assert.equal(Buffer.from(text, 'latin1').toString(), `first\n${'ünï'.repeat(30_000)}last`)
})

test('where an answer is torn into pieces does not matter', async (t) => {
  const whole =
    'HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\nX: a: b\r\n\r\n5\r\nhello\r\nb\r\n, two\r\nline\r\n0\r\n\r\n'
  for (const size of [1, 2, 3, 7, whole.length]) {
    const pieces = whole.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []
    const answer = await askOver(await saying(t, pieces), question)
    assert.equal(answer.ok, false)
    assert.equal(await textOf(answer.body), 'hello, two\r\nline')
  }
})

test('an answer without a body has none', async (t) => {
  const answer = await askOver(await saying(t, ['HTTP/1.1 204 No Content\r\n\r\n']), question)
  assert.equal(await textOf(answer.body), '')
})

test('a daemon that ends in the middle is no end of the answer', async (t) => {
  for (const begun of [
    '',
    'HTTP/1.1 200 OK\r\nContent-Le',
    'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf',
  ]) {
    const path = await saying(t, [begun])
    await assert.rejects(
      async () => await textOf((await askOver(path, question)).body),
      (error) => codeOf(error) === 'ECONNRESET',
      begun,
    )
  }
})

test('nobody there is told from somebody who is gone, and both from an answer', async (t) => {
  const none = join(temporaryDirectory(t), 'none')
  await assert.rejects(askOver(none, question), (error) => codeOf(error) === 'ENOENT' && isNobodyThere(error))
  const gone = await saying(t, ['HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n'])
  await assert.rejects(askOver(gone, question), isNobodyThere)
})

test('whoever stops reading an answer without end ends the connection', async (t) => {
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  const path = await http(t, (_, response) => {
    response.on('close', resolve)
    response.write('line\n')
  })
  for await (const part of (await askOver(path, question)).body) {
    assert.equal(String(Buffer.from(part)), 'line\n')
    break
  }
  await closed
})
