import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createClient } from '../../src/client/client.ts'
import type { Progress } from '../../src/core/documents.ts'
import { CutoverError } from '../../src/core/errors.ts'
import { startDaemon } from '../../src/daemon/daemon.ts'
import { daemonHere, temporaryHome } from '../support/daemons.ts'
import { chatter, createSmallEngine } from '../support/small-engine.ts'

const root = process.getuid?.() === 0 ? false : 'needs root'
const quiet = { onProgress: () => {} }
const deploys = { kind: 'deploy', directory: '/srv/deploys', path: '/bin' } as const
const waits = { kind: 'deploy', directory: '/srv/waits', path: '/bin' } as const

/** Waits until it is so; the test's own time-out ends it otherwise. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10)
}

test('a deploy tells its steps as they happen and ends with the receipt', async (t) => {
  const { client } = await daemonHere(t)
  const progress: Progress['type'][] = []
  const receipt = await client.operate(deploys, { onProgress: ({ type }) => progress.push(type) })
  assert.deepEqual(progress, ['release', 'begin', 'end', 'end'])
  assert.equal(receipt.release, 5)
  assert.equal(receipt.by.uid, process.getuid?.())
})

test('a failure comes with its kind, its message and its details', async (t) => {
  const { client } = await daemonHere(t)
  await assert.rejects(client.operate({ ...deploys, directory: '/srv/fails' }, quiet), (error) => {
    assert(error instanceof CutoverError)
    assert.equal(error.kind, 'failed')
    assert.match(error.message, /never went live/)
    assert.equal(error.details.length, 1)
    return true
  })
})

test('a refusal is a refusal, wherever it is thrown', async (t) => {
  const { client } = await daemonHere(t)
  const refused = { kind: 'refused' }
  await assert.rejects(client.operate({ kind: 'rollback', app: 'busy' }, quiet), refused)
  await assert.rejects(client.status('nothing'), refused)
  await assert.rejects(Array.fromAsync(client.logs({ app: 'unknown', lines: 1, follow: false })), refused)
})

test('a request that makes no sense is wrong usage', async (t) => {
  const { client } = await daemonHere(t)
  await assert.rejects(client.operate({ kind: 'stop', app: 'NOT/AN/APP' }, quiet), { kind: 'usage' })
  await assert.rejects(client.operate({ kind: 'rollback', app: 'shop', to: 0 }, quiet), { kind: 'usage' })
})

test('an interrupted deploy still says what is true', { timeout: 30_000 }, async (t) => {
  const { client, engine } = await daemonHere(t)
  const interrupt = new AbortController()
  const onProgress = ({ type }: Progress) => type === 'warning' && interrupt.abort()
  await assert.rejects(client.operate(waits, { onProgress, interrupt: interrupt.signal }), {
    message: 'waits v5 was interrupted and never went live. Traffic is on v4, as before.',
  })
  assert(engine.deeds.includes('interrupted waits'))
})

test('an interruption that comes before the deploy does is not lost', { timeout: 30_000 }, async (t) => {
  const { client } = await daemonHere(t)
  await assert.rejects(client.operate(waits, { ...quiet, interrupt: AbortSignal.abort() }), { kind: 'failed' })
})

test('an interruption that comes before the daemon does is not lost', { timeout: 30_000 }, async (t) => {
  const place = temporaryHome(t)
  const start = async () => {
    await sleep(300)
    await daemonHere(t, place)
  }
  const { operate } = createClient({ place, start })
  await assert.rejects(operate(waits, { ...quiet, interrupt: AbortSignal.abort() }), { kind: 'failed' })
})

test('a client that goes away interrupts its deploy', { timeout: 30_000 }, async (t) => {
  const { engine, place } = await daemonHere(t)
  const asked = request({ socketPath: place.socket, path: '/deploy', method: 'POST', agent: false })
  asked.setHeader('content-type', 'application/json').on('error', () => {})
  asked.on('response', (answer) => answer.once('data', () => asked.destroy()).on('error', () => {}))
  asked.end(JSON.stringify({ directory: '/srv/waits', path: '/bin' }))
  await until(() => engine.deeds.includes('interrupted waits'))
})

test('a daemon that leaves interrupts what runs, tells how it ended, and is gone', { timeout: 30_000 }, async (t) => {
  const { client, daemon, engine, place } = await daemonHere(t)
  const onProgress = ({ type }: Progress) => type === 'warning' && daemon.leave()
  await assert.rejects(client.operate(waits, { onProgress }), { kind: 'failed' })
  await daemon.ended
  assert.deepEqual(engine.deeds.slice(-2), ['interrupted waits', 'close'])
  assert(!existsSync(place.socket))
  assert.equal(await client.daemon(), null)
})

test('stop --all ends the apps before the daemon', async (t) => {
  const { client, daemon, engine } = await daemonHere(t)
  const { pid } = await client.stopDaemon(true)
  assert.equal(pid, process.pid)
  await daemon.ended
  assert.match(engine.deeds.join(), /^shutdown by \w+,close$/)
})

test('events come from where one asks, in order, then as they happen', { timeout: 30_000 }, async (t) => {
  const { client, engine } = await daemonHere(t)
  engine.emit('one')
  engine.emit('two')
  const events = client.events(1)
  assert.equal((await events.next()).value?.text, 'two')
  const next = events.next()
  engine.emit('three')
  assert.equal((await next).value?.text, 'three')
  await events.return(undefined)
})

test('a reader of an endless log that does not read makes nobody read ahead', { timeout: 60_000 }, async (t) => {
  const { client, engine } = await daemonHere(t)
  const log = client.logs({ app: 'shop', lines: 0, follow: true })
  await log.next()
  let before = -1
  while (engine.linesRead() > before) {
    before = engine.linesRead()
    await sleep(500)
  }
  for (let line = 0; line < before + 10; line++) await log.next()
  assert(engine.linesRead() > before)
  await log.return(undefined)
  const after = engine.linesRead()
  await sleep(200)
  assert(engine.linesRead() <= after + 1000, 'the log is not read for nobody')
})

test('a client that does not read holds up no deploy, and still gets every step', { timeout: 60_000 }, async (t) => {
  const { engine, place } = await daemonHere(t)
  const answer = await postPaused(place.socket, '/deploy', { directory: '/srv/chatters', path: '/bin' })
  await until(() => engine.deeds.includes('done chatters'))
  const said: Progress[] = (await text(answer))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(said.filter(({ type }) => type === 'end').length, 2)
  assert.equal(said.at(-1)?.type, 'receipt')
  const output = said.filter(({ type }) => type === 'output').length
  const leftOut = said.flatMap((progress) => (progress.type === 'warning' ? [Number.parseInt(progress.text, 10)] : []))
  assert(output < chatter / 2, `${output} lines were kept for somebody who did not read`)
  assert.equal(output + leftOut.reduce((sum, lines) => sum + lines, 0), chatter)
})

/** Asks, and does not read a byte of the answer's body before somebody does. */
async function postPaused(socketPath: string, path: string, body: unknown): Promise<IncomingMessage> {
  const asked = request({
    socketPath,
    path,
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json' },
  })
  asked.end(JSON.stringify(body))
  const [answer] = await once(asked, 'response')
  return answer
}

test('the app that is meant: of this folder, named by its cutover.yaml however broken, or the only one', async (t) => {
  const { client, place } = await daemonHere(t)
  await assert.rejects(client.appMeant(place.home), { kind: 'refused' })
  await client.operate({ ...deploys, directory: '/srv/only' }, quiet)
  assert.equal(await client.appMeant(place.home), 'only')
  await client.operate({ ...deploys, directory: '/srv/other' }, quiet)
  await assert.rejects(client.appMeant(place.home), /Which app\? .* only, other/)
  assert.equal(await client.appMeant('/srv/shop'), 'shop')
  writeFileSync(join(place.home, 'cutover.yaml'), 'app: blog\nprot: 8080\n')
  assert.equal(await client.appMeant(place.home), 'blog')
})

test('a socket path longer than an address may be works', async (t) => {
  const { client, place } = await daemonHere(t, temporaryHome(t, 8))
  assert(place.socket.length > 150)
  assert.equal((await client.daemon())?.pid, process.pid)
})

test('a socket left by a daemon that was killed is no obstacle', async (t) => {
  const place = temporaryHome(t)
  mkdirSync(place.home, { recursive: true })
  spawnSync('/usr/bin/python3', [
    '-c',
    `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(place.socket)})`,
  ])
  assert(existsSync(place.socket))
  const { client } = await daemonHere(t, place)
  assert.equal((await client.daemon())?.pid, process.pid)
})

test('a second daemon of the same home is refused and harms nothing', async (t) => {
  const { client, place } = await daemonHere(t)
  const log = { info() {}, warn() {}, error() {} }
  const second = startDaemon({ place, version: '1.2.3', log, open: async () => createSmallEngine() })
  await assert.rejects(second, { kind: 'refused', message: new RegExp(`pid ${process.pid}`) })
  assert.equal((await client.daemon())?.pid, process.pid)
})

test('an engine that does not open leaves the lock to the next daemon', async (t) => {
  const place = temporaryHome(t)
  const log = { info() {}, warn() {}, error() {} }
  const open = () => Promise.reject(new Error('the database is broken'))
  await assert.rejects(startDaemon({ place, version: '1.2.3', log, open }), /the database is broken/)
  await daemonHere(t, place)
})

/** What a user sees who asks for the daemon's version over the socket: the status code, or the error's name. */
async function askAs(socket: string, uid: number, gid: number, groups: string): Promise<string> {
  const script = `
import http.client, socket, sys
c = http.client.HTTPConnection('cutover')
c.sock = socket.socket(socket.AF_UNIX)
try:
    c.sock.connect(sys.argv[1]); c.request('GET', '/daemon'); r = c.getresponse(); print(r.status, r.read().decode())
except PermissionError: print('EACCES')
`
  const user = ['--reuid', String(uid), '--regid', String(gid), ...(groups ? ['--groups', groups] : ['--clear-groups'])]
  const command = [...user, '--', '/usr/bin/python3', '-c', script, socket]
  const { stdout } = await promisify(execFile)('setpriv', command, { timeout: 20_000 })
  return stdout.trim()
}

test('only root, the owner and members of the group of the home may ask', { skip: root }, async (t) => {
  const place = temporaryHome(t)
  chmodSync(place.home, 0o755)
  chownSync(place.home, 0, 4242)
  await daemonHere(t, place)
  assert.equal(statSync(place.socket).mode & 0o777, 0o660)
  assert.equal(statSync(place.socket).gid, 4242)
  assert.equal(await askAs(place.socket, 4711, 4711, ''), 'EACCES')
  assert.match(await askAs(place.socket, 4711, 4242, ''), /^200/)
  assert.match(await askAs(place.socket, 4711, 4711, '4242'), /^200/)
})

test('the peer is checked even where somebody has opened the socket to all', { skip: root }, async (t) => {
  const place = temporaryHome(t)
  chmodSync(place.home, 0o755)
  await daemonHere(t, place)
  chmodSync(place.socket, 0o666)
  assert.match(await askAs(place.socket, 4711, 4711, ''), /^403 .*4711 may not do this/)
})

test('a peer that sends nonsense, or nothing, disturbs nobody', async (t) => {
  const { client, place } = await daemonHere(t)
  const silent: Socket = connect(place.socket)
  t.after(() => silent.destroy())
  const nonsense = connect(place.socket).on('error', () => {})
  nonsense.end('\0\0\0 nonsense\r\n\r\n')
  assert.equal((await client.daemon())?.pid, process.pid)
})
