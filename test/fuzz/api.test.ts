/** Whatever comes through the daemon's socket gets an answer in order, and changes nothing unless it is in order itself. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { whoAnswers } from '../support/app.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { shopFolder } from '../support/shop.ts'
import { boundedly } from './bounded.ts'

const skip = asRoot

const looking = ['/daemon', '/status', '/history', '/doctor', '/app', '/events', '/logs'] as const
const doing = ['/deploy', '/rollback', '/stop', '/start', '/remove', '/interrupt', '/daemon/stop'] as const

/** Never the name of the app that is there: what a right request does to it is no matter of chance. */
const name = fc.oneof(
  fc.constantFrom('', 'nobody', 'SHOP', 'shop ', '../shop', 'shop\0', '%73hop', 'x'.repeat(41), '__proto__'),
  fc.string({ unit: 'binary' }).filter((text) => text !== 'shop'),
)
const value = fc.oneof(
  name,
  fc.constantFrom('/', '/nowhere', '/proc/self', '/dev/zero', '/\0', 'relative'),
  fc.integer(),
  fc.anything({ maxDepth: 2 }),
)
const key = fc.constantFrom(
  'app',
  'to',
  'from',
  'directory',
  'path',
  'label',
  'operation',
  'release',
  'lines',
  'follow',
  'since',
  'after',
  '__proto__',
)
const json = fc.dictionary(key, value, { maxKeys: 6 }).map((body) => JSON.stringify(body) ?? '')
const body = fc.oneof(
  json,
  json,
  fc.json(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '{', '[]', 'null', '{"app":'),
)
/** A daemon is not ended by chance either: `all` is never a truth value. */
const path = fc.oneof(
  fc.constantFrom(...looking, ...doing),
  fc.constantFrom(...looking, ...doing),
  fc.constantFrom('/', '//', '/status/', '/STATUS', '/../status', '/%2e%2e', '/status%00', '/deploy/x', '*'),
  fc.webPath(),
)
const query = fc.oneof(
  fc.constant(''),
  fc
    .dictionary(
      key,
      fc.oneof(fc.constantFrom('shop', '1', '0', '-1', 'true', '99999999999', '/nowhere'), fc.string()),
      { maxKeys: 4 },
    )
    .map((values) => `?${new URLSearchParams(values)}`),
  fc.webQueryParameters().map((text) => `?${text}`),
)
const header = fc.constantFrom(
  'cutover-by',
  'cutover-sudo-user',
  'cutover-from',
  'cutover-operation',
  'content-type',
  'x-other',
  'range',
)
const headers = fc.dictionary(
  header,
  fc.oneof(
    fc.constantFrom('%', '%ff%fe', '%1b%5b2J', 'text/plain', 'application/json; charset=x', 'bytes=0-'),
    fc.stringMatching(/^[ -~]{0,60}$/),
  ),
  { maxKeys: 4 },
)
const method = fc.constantFrom('GET', 'GET', 'POST', 'POST', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH')

test('any request is answered in order, and nothing that makes no sense does anything', { skip }, async (t) => {
  const { node, state } = await standing(t)
  const before = await state()
  const codes = new Map<number, number>()
  await boundedly(
    fc.asyncProperty(method, path, query, headers, body, async (method, path, query, headers, body) => {
      const answer = await asked(node, method, path + query, { 'content-type': 'application/json', ...headers }, body)
      codes.set(answer.status, (codes.get(answer.status) ?? 0) + 1)
      const what = `${answer.status} ${answer.text}`
      assert.ok(answer.status >= 200 && answer.status < 500, what)
      if (method === 'HEAD' || answer.text === '') return
      for (const line of answer.text.trim().split('\n')) assert.equal(typeof JSON.parse(line), 'object', what)
      assert.doesNotMatch(answer.text, /Cutover itself failed|"kind":"unknown"/)
    }),
    1000,
  )
  t.diagnostic(`statuses: ${[...codes].map(([code, count]) => `${code}: ${count}`).join(', ')}`)
  assert.deepEqual(await state(), before)
})

test('what is not even HTTP, half of it, and more of it than anybody sends, harms nobody else', { skip }, async (t) => {
  const { node, state } = await standing(t)
  const before = await state()
  const whole =
    'POST /deploy HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n{"directory":"/nowhere","path":"/bin"   }'
  const slow: Socket[] = []
  t.after(() => {
    for (const socket of slow) socket.destroy()
  })
  for (let at = 0; at < 300; at++) {
    const socket = connect(node.place.socket).on('error', () => {})
    socket.write(whole.slice(0, Math.floor((at / 300) * (whole.length - 5))))
    slow.push(socket)
  }
  await boundedly(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.nat(whole.length), async (bytes, cut) => {
      const socket = connect(node.place.socket)
      socket.on('error', () => {})
      const closed = once(socket, 'close').catch(() => {})
      socket.end(Buffer.concat([Buffer.from(whole.slice(0, cut)), bytes]))
      socket.resume()
      await closed
    }),
    300,
  )
  const chunk = Buffer.alloc(64 * 1024, ' ')
  for (const length of [null, 2_000_000, 2 ** 50]) {
    const sent = connect(node.place.socket)
    const closed = once(sent, 'close')
    let heard = ''
    sent
      .on('error', () => {})
      .on('data', (data: Buffer) => {
        heard += data.toString('latin1')
      })
    const size = length === null ? 'transfer-encoding: chunked' : `content-length: ${length}`
    sent.write(`POST /deploy HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${size}\r\n\r\n`)
    const piece = length === null ? Buffer.concat([Buffer.from('10000\r\n'), chunk, Buffer.from('\r\n')]) : chunk
    let bytes = 0
    const more = () => {
      while (!sent.destroyed && heard === '' && sent.write(piece)) bytes += piece.length
      if (heard !== '') sent.destroy()
    }
    sent.on('drain', more).on('data', () => sent.destroy())
    more()
    await closed
    assert.match(heard, /^HTTP\/1\.1 400 /, 'it is refused')
    assert.ok(bytes < 64_000_000, `${bytes} bytes were taken`)
  }
  assert.deepEqual(await state(), before)
})

/** A node with an app, and what must not change: what runs and what was done, in the daemon's words and on the disk. */
async function standing(t: TestContext) {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  const state = async () => {
    const { daemon, apps } = await node.client.status()
    return {
      pid: daemon.pid,
      apps: apps.map(({ app, active, stopped, busy, releases }) => ({
        app,
        active,
        stopped,
        busy,
        releases: releases.map(({ release, state, pids }) => ({ release, state, pids })),
      })),
      history: (await node.client.history()).length,
      files: ['releases', 'logs'].map((folder) =>
        readdirSync(join(node.place.home, folder), { recursive: true, encoding: 'utf8' }),
      ),
      served: await whoAnswers(),
    }
  }
  return { node, state }
}

/** What was answered; of an answer that goes on, its beginning. */
async function asked(
  { place }: TestNode,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
) {
  const sent = request({
    socketPath: place.socket,
    method,
    path: path.replace(/[^!-~]/g, encodeURIComponent),
    headers,
    agent: false,
  })
  const answered = once(sent, 'response', { signal: AbortSignal.timeout(30_000) })
  sent.on('error', () => {})
  sent.end(method === 'GET' || method === 'HEAD' ? undefined : body)
  const [answer] = await answered
  const endless = /^\/(events|logs)/.test(path) && answer.statusCode === 200
  if (endless) {
    answer.on('error', () => {}).destroy()
    return { status: 200, text: '' }
  }
  return { status: answer.statusCode as number, text: await text(answer) }
}
