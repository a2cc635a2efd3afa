import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { createClient } from '../../src/client/client.ts'
import { startInBackground } from '../../src/daemon/autostart.ts'
import { daemonProcess, smallDaemon, temporaryHome } from '../support/daemons.ts'
import { eventually } from '../support/workspace.ts'

const slow = { timeout: 60_000 }

test('SIGTERM ends the daemon cleanly: its socket is gone and its exit code is 0', slow, async (t) => {
  const { child, place } = await daemonProcess(t)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
  assert(!existsSync(place.socket))
})

test(
  'a daemon that is killed while one waits leaves the outcome unknown, and the next starts in its place',
  slow,
  async (t) => {
    const { child, place } = await daemonProcess(t)
    const client = createClient({ place, start: null })
    const onProgress = ({ type }: { type: string }) => type === 'warning' && child.kill('SIGKILL')
    const deploy = client.operate({ kind: 'deploy', directory: '/srv/waits', path: '/bin' }, { onProgress })
    await assert.rejects(deploy, { kind: 'unknown', message: /cutover history/ })
    assert(existsSync(place.socket), 'the socket is left behind')
    const next = await daemonProcess(t, place)
    assert.equal((await client.daemon())?.pid, next.child.pid)
  },
)

test('whoever follows events or a log is told that the daemon ended', slow, async (t) => {
  const { child, place } = await daemonProcess(t)
  const client = createClient({ place, start: null })
  const log = client.logs({ app: 'shop', lines: 0, follow: true })
  await log.next()
  const followed = assert.rejects(Array.fromAsync(log), { kind: 'unreachable', message: /apps and traffic go on/ })
  child.kill('SIGTERM')
  await followed
})

test('the first command that needs a daemon starts one in the background, which outlives it', slow, async (t) => {
  const place = temporaryHome(t, 1)
  const client = createClient({ place, start: () => startInBackground(place, [...smallDaemon, '--ready-fd', '3']) })
  const { daemon } = await client.status()
  assert.notEqual(daemon.pid, process.pid)
  const [, , , , , session] = readFileSync(`/proc/${daemon.pid}/stat`, 'utf8').split(' ')
  assert.equal(session, String(daemon.pid), 'it has a session of its own')
  assert.match(readFileSync(place.log, 'utf8'), /"msg":"the daemon answers"/)
})

test(
  'the log of a daemon in the background begins anew when it is large, and the one before is kept',
  slow,
  async (t) => {
    const place = temporaryHome(t)
    const start = () => startInBackground(place, [...smallDaemon, '--ready-fd', '3'])
    writeFileSync(place.log, 'x'.repeat(10_000_000))
    await start()
    assert.match(readFileSync(place.log, 'utf8'), /^\{[\s\S]*"the daemon answers"/)
    assert.equal(statSync(`${place.log}.old`).size, 10_000_000)
    const { pid } = (await createClient({ place, start: null }).daemon()) ?? {}
    const [out, err] = [1, 2].map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
    assert.deepEqual([out, err], [place.log, place.log])
  },
)

test('commands that all find no daemon end up with the same one', slow, async (t) => {
  const place = temporaryHome(t)
  const start = () => startInBackground(place, [...smallDaemon, '--ready-fd', '3'])
  const clients = Array.from({ length: 4 }, () => createClient({ place, start }))
  const pids = await Promise.all(clients.map(async (client) => (await client.status()).daemon.pid))
  assert.equal(new Set(pids).size, 1)
})

test('a daemon that cannot start says why to whoever started it', slow, async (t) => {
  const place = temporaryHome(t)
  const broken = (code: string) => startInBackground(place, [process.execPath, '-e', code])
  await assert.rejects(broken('process.exit(1)'), { kind: 'unreachable', message: /daemon\.log/ })
  const problem = { kind: 'failed', message: 'the disk is full', details: ['/var'] }
  const told = `require('fs').writeSync(3, JSON.stringify({ problem: ${JSON.stringify(problem)} }) + '\\n')`
  await assert.rejects(broken(told), { kind: 'unreachable', message: /could not start: the disk is full/ })
})

test('nobody who asks while one daemon follows another is cut off', slow, async (t) => {
  const place = temporaryHome(t)
  let over = false
  // Nobody has to start one: the next is on its way.
  const client = createClient({ place, start: async () => {} })
  const pids = new Set<number>()
  const ask = async () => {
    while (!over) pids.add((await client.status()).daemon.pid)
  }
  const first = await daemonProcess(t, place)
  const asking = Promise.all(Array.from({ length: 8 }, ask))
  asking.catch(() => {})
  let last = first.child
  for (let i = 0; i < 3; i++) {
    last.kill('SIGTERM')
    assert.deepEqual(await once(last, 'exit'), [0, null])
    last = (await daemonProcess(t, place)).child
  }
  await eventually(() => last.pid !== undefined && pids.has(last.pid))
  over = true
  await asking
})
