/** The active release is killed: clients wait for as long as `hold`, whether there is a daemon or not. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { identify, isAlive, sendSignal } from '../../src/linux/process.ts'
import { app, appFolder, port, slowTheSecondTime, whoAnswers } from '../support/app.ts'
import { lostIn, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { eventually } from '../support/workspace.ts'

const options = { skip: asRoot }
const clients = 4

/** `kill -9` of the active release's one worker; resolves when it is gone. */
async function killActive(node: TestNode): Promise<void> {
  const { active, releases } = await node.app(app)
  const [pid = 0] = releases.find(({ release }) => release === active)?.pids ?? []
  const worker = identify(pid)
  assert.ok(worker)
  sendSignal(worker, 'SIGKILL')
  await eventually(() => !isAlive(worker))
}

test(
  'nobody is refused while the active release is restarted within hold, and the longest wait is the restart',
  options,
  async (t) => {
    const node = await startNode(t)
    await node.deploy(appFolder(t, { hold: '1m' }, { 'server.mjs': slowTheSecondTime(1500) }))
    await using load = await startLoad({ kind: 'short', port, clients, pauseMs: 5, timeoutMs: 60_000 })
    await load.until('clients are served', (fates) => (fates.answered.v1 ?? 0) > 20)
    const killed = performance.now()
    await killActive(node)
    const { answered } = await load.snapshot()
    await load.until('it serves again', (fates) => (fates.answered.v1 ?? 0) > (answered.v1 ?? 0) + 20)
    const restartMs = performance.now() - killed
    const fates = await load.stop()
    assert.equal(fates.refused, 0)
    assert.ok(lostIn(fates) <= clients, 'more than what it was working on was lost')
    assert.ok(fates.longestMs >= 1500 - 100, 'nobody had to wait at all')
    assert.ok(fates.longestMs <= restartMs, `somebody waited ${fates.longestMs} ms for a restart of ${restartMs} ms`)
    t.diagnostic(`restart ${restartMs.toFixed()} ms, longest wait ${fates.longestMs.toFixed()} ms`)
  },
)

test(
  'without a daemon clients wait for as long as hold, then they are refused; the next one closes and counts those that waited',
  options,
  async (t) => {
    const node = await startNode(t)
    await node.deploy(appFolder(t, { hold: '1s' }, { 'server.mjs': slowTheSecondTime(3000) }))
    const { pids } = (await node.app(app)).releases[0] ?? { pids: [] }
    await node.killDaemon()
    const worker = identify(pids[0] ?? 0)
    assert.ok(worker)
    sendSignal(worker, 'SIGKILL')
    await eventually(() => !isAlive(worker))

    const waiting: Socket[] = []
    const ends: Promise<unknown>[] = []
    for (;;) {
      const socket = connect({ port, host: '127.0.0.1' })
      try {
        await once(socket, 'connect')
      } catch (error) {
        assert.ok(error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED')
        break
      }
      ends.push(once(socket.resume(), 'close').catch(() => {}))
      waiting.push(socket)
      await pause(50)
    }
    assert.ok(waiting.length > 1, 'nobody waited')
    await assert.rejects(whoAnswers(), { code: 'ECONNREFUSED' })

    await node.client.status()
    await Promise.all(ends)
    const noted = await untilNoted(node)
    assert.match(noted, new RegExp(`^${waiting.length} connections had waited longer than hold and were closed$`))
    assert.equal(await untilAnswered(), 'v1')
  },
)

/** What history says of them, once it does. */
async function untilNoted(node: TestNode): Promise<string> {
  for (let tries = 0; tries < 1000; tries++) {
    const found = (await node.client.history(app)).find(({ text }) => text.includes('waited longer'))
    if (found) return found.text
    await pause(20)
  }
  throw new Error('nobody who waited was closed within 20 s')
}

async function untilAnswered(): Promise<string> {
  for (let tries = 0; tries < 1000; tries++) {
    const who = await whoAnswers().catch(() => null)
    if (who !== null) return who
    await pause(20)
  }
  throw new Error('it did not answer within 20 s')
}
