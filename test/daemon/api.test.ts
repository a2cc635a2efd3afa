import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createClient } from '../../src/client/client.ts'
import type { Progress } from '../../src/core/documents.ts'
import { CutoverError } from '../../src/core/errors.ts'
import { startDaemon } from '../../src/daemon/daemon.ts'
import type { Place } from '../../src/daemon/place.ts'
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

test('a question that a daemon did not live to answer is asked of the next; a wish is not', async (t) => {
  const place = temporaryHome(t)
  mkdirSync(place.home, { recursive: true })
  const dying = createServer((socket) => socket.once('data', () => socket.destroy()))
  await once(dying.listen(place.socket), 'listening')
  const start = async () => {
    dying.close()
    await daemonHere(t, place)
  }
  const client = createClient({ place, start })
  await assert.rejects(client.operate({ kind: 'rollback', app: 'shop' }, quiet), { kind: 'unknown' })
  assert.equal((await client.status()).schema, 1)
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

test('a deploy whose client has gone for good is interrupted after a while', { timeout: 30_000 }, async (t) => {
  const { engine, place } = await daemonHere(t)
  const began = performance.now()
  await beginAndGo(place)
  await until(() => engine.deeds.includes('interrupted waits'))
  assert(performance.now() - began > 4000, 'nobody could come back')
})

test('whoever asks for the same deploy soon after its client has gone gets that one', {
  timeout: 30_000,
}, async (t) => {
  const { client, engine, place } = await daemonHere(t)
  await beginAndGo(place)
  const interrupt = new AbortController()
  const said: Progress[] = []
  const onProgress = (progress: Progress) => {
    said.push(progress)
    if (isGoneOnWith(progress)) interrupt.abort()
  }
  await assert.rejects(client.operate(waits, { onProgress, interrupt: interrupt.signal }), /was interrupted/)
  assert.equal(said.filter(isGoneOnWith).length, 1)
  assert.equal(said[0]?.type, 'release', 'what was told before is told again')
  assert.deepEqual(
    engine.deeds.filter((deed) => deed.includes('waits')),
    [`deploy waits by ${userInfo().username}`, 'interrupted waits'],
  )
})

test('whoever goes on with a deploy of a client that has gone may lose its connection, too', {
  timeout: 30_000,
}, async (t) => {
  const { place } = await daemonHere(t)
  await beginAndGo(place)
  const proxy = await proxyOf(t, place)
  const client = createClient({ place: proxy.place, start: null })
  const interrupt = new AbortController()
  const onProgress = (progress: Progress) => {
    if (!isGoneOnWith(progress)) return
    proxy.cut()
    setTimeout(() => interrupt.abort(), 500)
  }
  await assert.rejects(client.operate(waits, { onProgress, interrupt: interrupt.signal }), /was interrupted/)
})

const isGoneOnWith = (progress: Progress): boolean => /had lost its client; it goes on/.test(JSON.stringify(progress))

test('a client whose connection breaks comes back by itself, and hears nothing twice', {
  timeout: 30_000,
}, async (t) => {
  const { engine, place } = await daemonHere(t)
  const proxy = await proxyOf(t, place)
  const client = createClient({ place: proxy.place, start: null })
  const interrupt = new AbortController()
  const said: Progress['type'][] = []
  const onProgress = ({ type }: Progress) => {
    said.push(type)
    if (type !== 'warning') return
    proxy.cut()
    setTimeout(() => interrupt.abort(), 500)
  }
  await assert.rejects(client.operate(waits, { onProgress, interrupt: interrupt.signal }), /was interrupted/)
  assert.equal(said.filter((type) => type === 'warning').length, 1)
  assert.equal(said.filter((type) => type === 'release').length, 1)
  assert.equal(engine.deeds.filter((deed) => deed === `deploy waits by ${userInfo().username}`).length, 1)
  assert(proxy.connections() >= 2, 'it came back')
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
  const lines = said.flatMap((progress) => (progress.type === 'output' ? [progress.line] : []))
  const leftOut = lines.flatMap((line) => Number(/^\((\d+) lines are left out here\)$/.exec(line)?.[1] ?? 0))
  const output = lines.length - leftOut.filter((count) => count > 0).length
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

/** What a user sees who asks for the daemon's version over the socket, and says that it was root who used sudo: the status code, or the error's name. */
async function askAs(socket: string, uid: number, gid: number, groups: string): Promise<string> {
  const script = `
import http.client, socket, sys
c = http.client.HTTPConnection('cutover')
c.sock = socket.socket(socket.AF_UNIX)
try:
    c.sock.connect(sys.argv[1]); c.request('GET', '/daemon', headers={'cutover-sudo-user': 'root', 'cutover-by': 'root'}); r = c.getresponse(); print(r.status, r.read().decode())
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

test('the peer is checked even where somebody has opened the socket to all, and whatever it says of itself', {
  skip: root,
}, async (t) => {
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

/** Begins the deploy that waits, and goes as soon as the daemon answers. */
async function beginAndGo({ socket }: Place): Promise<void> {
  const asked = request({ socketPath: socket, path: '/deploy', method: 'POST', agent: false })
  asked.setHeader('content-type', 'application/json').on('error', () => {})
  asked.end(JSON.stringify({ directory: waits.directory, path: waits.path }))
  const [answer] = await once(asked, 'response')
  answer.on('error', () => {})
  await once(answer, 'data')
  asked.destroy()
}

/** A socket that leads to the daemon's, and can cut whoever is connected. */
async function proxyOf(t: TestContext, place: Place) {
  const socket = join(place.home, 'proxy.sock')
  const open = new Set<Socket>()
  let connections = 0
  const server = createServer((client) => {
    connections++
    const daemon = connect(place.socket)
    for (const one of [client, daemon]) open.add(one.on('error', () => {}))
    client.pipe(daemon).pipe(client)
  })
  server.listen(socket)
  await once(server, 'listening')
  t.after(() => server.close())
  const cut = () => {
    for (const one of open) one.destroy()
  }
  return { place: { ...place, socket }, cut, connections: () => connections }
}
