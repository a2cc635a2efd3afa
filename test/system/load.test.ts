import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { createServer, type Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { endGroup, example, startExample } from '../support/examples.ts'
import {
  answeredIn,
  assertBalanced,
  describeLosses,
  type Fates,
  type LoadSpec,
  lostIn,
  startLoad,
} from '../support/load.ts'
import {
  type Conversation,
  type Deed,
  deeds,
  drips,
  type Fate,
  misdeeds,
  noneDone,
  scriptedServer,
  scriptedStream,
  scriptedWebSocket,
} from '../support/scripted-server.ts'

/** Of whoever is to be answered: no stall of either process is as long. */
const timeoutMs = 5_000

/** What the client says, in the server's terms. */
const told = (fates: Fates): Record<Fate, number> => {
  const { refused, reset, cut, wrong, timedOut } = fates
  return { answered: answeredIn(fates), refused, reset, cut, wrong, timedOut }
}

const only = (fate: Fate, fates: Fates) =>
  assert.deepEqual(told(fates), { ...noneDone(), [fate]: fates.begun }, describeLosses(fates))

/** Load until `enough`, then its final fates. */
async function runLoad(t: TestContext, spec: LoadSpec, enough: (fates: Fates) => boolean): Promise<Fates> {
  const load = await startLoad(spec)
  t.after(() => load[Symbol.asyncDispose]())
  await load.until('there was enough of it', enough)
  return await load.stop()
}

for (const [name, deed] of Object.entries<Deed<Socket>>({ ...deeds, 'drips without an end': drips })) {
  test(`a server that ${name}: every request is ${deed.fate}, on connections short and kept`, async (t) => {
    for (const kind of ['short', 'keep-alive'] as const) {
      const server = await scriptedServer(t, () => deed)
      const fates = await runLoad(
        t,
        { kind, port: server.port, clients: 3, timeoutMs: deed.fate === 'timedOut' ? 1_000 : timeoutMs },
        (so) => so.begun - so.pending >= 6,
      )
      only(deed.fate, fates)
      assert.deepEqual(told(fates), server.done)
    }
  })
}

for (const kind of ['short', 'keep-alive'] as const) {
  test(`${kind}: of a thousand requests that meet everything at once, each fate is counted as often as the server dealt it`, async (t) => {
    const quick = Object.values<Deed<Socket>>(deeds).filter((deed) => deed.fate !== 'timedOut')
    let turn = 0
    const server = await scriptedServer(t, () => {
      const next = ++turn % 40 === 0 ? null : quick[turn % quick.length]
      return next ?? deeds['says nothing']
    })
    const fates = await runLoad(t, { kind, port: server.port, timeoutMs }, (so) => so.begun >= 1_000)
    assert.deepEqual(told(fates), server.done)
    assert.equal(fates.pending, 0)
    assert.ok(fates.timedOut > 0 && fates.reset > 0 && fates.cut > 0 && fates.wrong > 0)
  })
}

test('a port on which nobody listens: every request is refused', async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  await new Promise((resolve) => server.close(resolve))
  only('refused', await runLoad(t, { kind: 'short', port: address.port, clients: 2 }, (so) => so.begun >= 10))
})

for (const how of ['closes', 'resets'] as const) {
  test(`a server that ${how} connections while they are idle loses no request, and it shows`, async (t) => {
    const server = await scriptedServer(t, () => ({
      fate: 'answered',
      act(socket) {
        deeds.answers.act(socket)
        setTimeout(() => (how === 'closes' ? socket.end() : socket.resetAndDestroy()), 20)
      },
    }))
    const spec = { kind: 'keep-alive', port: server.port, clients: 1, pauseMs: 2_000 } as const
    const fates = await runLoad(t, spec, (so) => answeredIn(so) >= 4)
    only('answered', fates)
    assert.ok(fates.closedIdle >= 3)
  })
}

test('a server that speaks before it is asked: that answer is nobody’s', async (t) => {
  const server = await scriptedServer(t, () => ({
    fate: 'answered',
    act(socket) {
      deeds.answers.act(socket)
      setTimeout(() => deeds.answers.act(socket), 20)
    },
  }))
  const spec = { kind: 'keep-alive', port: server.port, clients: 1, pauseMs: 2_000 } as const
  const fates = await runLoad(t, spec, (so) => so.wrong >= 2)
  assert.equal(lostIn(fates), fates.wrong)
})

const conversations = { websocket: scriptedWebSocket, stream: scriptedStream } as const

for (const kind of ['websocket', 'stream'] as const) {
  const scripted = conversations[kind]
  for (const [name, misdeed] of Object.entries<Deed<Conversation>>(misdeeds)) {
    test(`a ${kind} whose server ${name} is ${misdeed.fate}`, async (t) => {
      let turn = 0
      const server = await scripted(t, () => (turn++ < 4 ? misdeed : null))
      const patience = misdeed.fate === 'timedOut' ? 1_000 : timeoutMs
      const spec = { kind, port: server.port, clients: 2, everyMs: 20, timeoutMs: patience }
      const fates = await runLoad(t, spec, (so) => lostIn(so) === 4 && so.pending === 2)
      assert.deepEqual({ ...told(fates), answered: 0 }, server.done, describeLosses(fates))
      assert.deepEqual([server.done[misdeed.fate], answeredIn(fates)], [4, 2])
    })
  }

  test(`of many ${kind}s the broken ones are counted exactly, and those that go on to the end are answered`, async (t) => {
    const all: readonly Deed<Conversation>[] = Object.values(misdeeds)
    let turn = 0
    const server = await scripted(t, () => (turn < 60 ? (all[turn++ % all.length] ?? null) : null))
    const spec = { kind, port: server.port, everyMs: 20, timeoutMs: 2_000 }
    const fates = await runLoad(t, spec, (so) => lostIn(so) === 60 && so.pending === 16)
    assert.deepEqual({ ...told(fates), answered: 0 }, server.done)
    assert.equal(answeredIn(fates), 16)
  })
}

test('a websocket whose server pings, between messages and after them, is not lost', async (t) => {
  const ping = Buffer.from([0x80 | 0x9, 2, 0x68, 0x69])
  const server = await scriptedWebSocket(t, () => ({
    fate: 'answered',
    act({ socket, say, count }) {
      socket.write(ping)
      say(`v1 ${count}`)
      socket.write(ping)
      setTimeout(() => socket.write(ping), 10)
    },
  }))
  const spec = { kind: 'websocket', port: server.port, clients: 2, everyMs: 20, timeoutMs } as const
  only('answered', await runLoad(t, spec, (so) => (so.messages.v1 ?? 0) >= 20))
})

test('a real server killed under load: what is lost is seen, the sums agree, and the next one is answered', async (t) => {
  const { port } = example('node')
  const first = await startExample(t, 'node', '1')
  const load = await startLoad({ kind: 'short', port })
  t.after(() => load[Symbol.asyncDispose]())
  await load.until('v1 answers', (so) => (so.answered.v1 ?? 0) > 100)
  await endGroup(first)
  await load.until('requests are refused', (so) => so.refused > 16)
  await startExample(t, 'node', '2')
  await load.until('v2 answers', (so) => (so.answered.v2 ?? 0) > 100)
  const fates = await load.stop()
  assertBalanced(fates)
  assert.ok(fates.reset + fates.cut > 0, 'nothing was in flight')
})

test('a load client that was killed never gives a count', async (t) => {
  const server = await scriptedServer(t, () => deeds.answers)
  const load = await startLoad({ kind: 'short', port: server.port, clients: 1 })
  await load[Symbol.asyncDispose]()
  await assert.rejects(load.stop(), /ended by itself/)
})
