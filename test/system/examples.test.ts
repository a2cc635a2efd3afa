import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import test from 'node:test'
import { WebSocket } from 'ws'
import { example, startExample } from '../support/examples.ts'
import { assertNoneLost, startLoad } from '../support/load.ts'
import { serverNames } from '../support/servers.ts'

for (const name of serverNames) {
  const { kinds, port, protocol, skip } = example(name)
  test(`examples/${name} answers every kind of load that it understands, in the name of its release`, {
    skip,
  }, async (t) => {
    await startExample(t, name, 'v4')
    for (const kind of kinds) {
      await t.test(kind, async (t) => {
        const load = await startLoad({ kind, port, protocol, clients: 4, slowMs: 200, everyMs: 20 })
        t.after(() => load[Symbol.asyncDispose]())
        await load.until('some were answered', (so) => (so.answered.v4 ?? 0) > 4 || (so.messages.v4 ?? 0) > 8)
        const fates = await load.stop()
        assertNoneLost(fates)
        assert.deepEqual(Object.keys(fates.answered), ['v4'])
      })
    }
  })
}

test('the WebSocket of examples/node satisfies a client that many use: long messages, fragments, pings, a clean close', async (t) => {
  const { port } = example('node')
  await startExample(t, 'node', '4')
  const socket = new WebSocket(`ws://127.0.0.1:${port}/websocket`)
  t.after(() => socket.terminate())
  await once(socket, 'open')
  for (const length of [1, 125, 126, 65_535, 65_536, 300_000]) {
    socket.send('x'.repeat(length))
    const [said] = await once(socket, 'message')
    assert.equal(String(said), `v4 ${'x'.repeat(length)}`)
  }
  socket.send('in ', { fin: false })
  socket.send('parts', { fin: true })
  const [said] = await once(socket, 'message')
  assert.equal(String(said), 'v4 in parts')
  socket.ping('are you there')
  const [pong] = await once(socket, 'pong')
  assert.equal(String(pong), 'are you there')
  socket.close(1000)
  const [code] = await once(socket, 'close')
  assert.equal(code, 1000)
})
