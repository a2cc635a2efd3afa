/** The load client over HTTP/2 tells every fate that a stream can have, alone on its connection or beside others. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { constants, createServer, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { answeredIn, describeLosses, type Fates, type LoadSpec, lostIn, startLoad } from '../support/load.ts'
import { type Fate, listening } from '../support/scripted-server.ts'

/** What a server does to a stream, or to the connection below it. */
interface Deed {
  readonly fate: Fate
  act(stream: ServerHttp2Stream, connection: Socket): void
}

const body = 'v1 as it should be\n'

const begin = (stream: ServerHttp2Stream, status = 200) =>
  stream.respond({ ':status': status, 'content-length': body.length })

const beginHalf = (stream: ServerHttp2Stream) => {
  begin(stream)
  stream.write(body.slice(0, 5))
}

const deeds: Readonly<Record<string, Deed>> = {
  answers: {
    fate: 'answered',
    act(stream) {
      begin(stream)
      stream.end(body)
    },
  },
  'resets the connection': {
    fate: 'reset',
    act: (_, connection) => void setTimeout(() => connection.resetAndDestroy(), 20),
  },
  'resets the connection amid the answer': {
    fate: 'reset',
    act(stream, connection) {
      beginHalf(stream)
      setTimeout(() => connection.resetAndDestroy(), 20)
    },
  },
  'closes the connection': { fate: 'cut', act: (_, connection) => void connection.end() },
  'closes the connection amid the answer': {
    fate: 'cut',
    act(stream, connection) {
      beginHalf(stream)
      setTimeout(() => connection.end(), 20)
    },
  },
  'refuses the stream': { fate: 'cut', act: (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM) },
  'ends the stream amid the answer': {
    fate: 'cut',
    act(stream) {
      beginHalf(stream)
      setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), 20)
    },
  },
  'ends the stream early, as if it were whole': {
    fate: 'cut',
    act(stream) {
      begin(stream)
      stream.end(body.slice(0, 5))
    },
  },
  'answers 500': {
    fate: 'wrong',
    act(stream) {
      begin(stream, 500)
      stream.end(body)
    },
  },
  'answers in nobody’s name': {
    fate: 'wrong',
    act(stream) {
      stream.respond()
      stream.end('hello\n')
    },
  },
  'says nothing': { fate: 'timedOut', act: () => {} },
  'says half and then nothing': { fate: 'timedOut', act: beginHalf },
}

async function serve(t: TestContext, act: Deed['act']): Promise<number> {
  const server = createServer()
  const connections = new Map<number | undefined, Socket>()
  server.on('connection', (socket: Socket) => {
    socket.on('error', () => {})
    connections.set(socket.remotePort, socket)
  })
  server.on('sessionError', () => {})
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {})
    const connection = connections.get(stream.session?.socket.remotePort)
    assert.ok(connection)
    act(stream, connection)
  })
  return await listening(t, server)
}

async function runLoad(t: TestContext, spec: LoadSpec, enough: (fates: Fates) => boolean): Promise<Fates> {
  const load = await startLoad({ protocol: 'h2c', clients: 2, everyMs: 20, timeoutMs: 10_000, ...spec })
  t.after(() => load[Symbol.asyncDispose]())
  await load.until('there was enough of it', enough)
  return await load.stop()
}

/** Where a reset meets a write of the client, Node's HTTP/2 tells it as an end like any other: such a request is lost as well, but counts as cut. */
function assertOnly(fate: Fate, fates: Fates): void {
  const { refused, wrong, timedOut } = fates
  const [reset, cut] = fate === 'reset' ? [fates.reset + fates.cut, 0] : [fates.reset, fates.cut]
  const seen = { answered: answeredIn(fates), refused, reset, cut, wrong, timedOut }
  const none = { answered: 0, refused: 0, reset: 0, cut: 0, wrong: 0, timedOut: 0 }
  assert.deepEqual(seen, { ...none, [fate]: fates.begun }, describeLosses(fates))
}

const said = (fate: Fate): string => (fate === 'reset' ? 'reset or cut' : fate)

for (const [name, { fate, act }] of Object.entries(deeds)) {
  const enough = fate === 'timedOut' ? 4 : 20
  const patience = fate === 'timedOut' ? { timeoutMs: 500 } : {}
  test(`an HTTP/2 server that ${name}: every request is ${said(fate)}, alone or among others`, async (t) => {
    const port = await serve(t, act)
    for (const kind of ['short', 'keep-alive'] as const)
      assertOnly(fate, await runLoad(t, { kind, port, ...patience }, (so) => so.begun - so.pending >= enough))
  })

  if (fate === 'answered' || fate === 'timedOut') continue
  test(`a stream over HTTP/2 whose server ${name} is lost, and others are not`, async (t) => {
    let turn = 0
    const port = await serve(t, (stream, connection) => {
      if (++turn <= 4) return act(stream, connection)
      stream.respond()
      let count = 0
      const timer = setInterval(() => stream.write(`data: v1 ${++count}\n\n`), 20)
      stream.on('close', () => clearInterval(timer))
    })
    const fates = await runLoad(t, { kind: 'stream', port }, (so) => (so.messages.v1 ?? 0) > 20)
    assert.deepEqual([lostIn(fates), answeredIn(fates)], [4, 2], describeLosses(fates))
  })
}

test('a connection whose server says that it leaves after an answer is not used again', async (t) => {
  const port = await serve(t, (stream) => {
    begin(stream)
    stream.end(body)
    stream.session?.close()
  })
  assertOnly('answered', await runLoad(t, { kind: 'short', port }, (so) => so.begun - so.pending >= 20))
})

test('a port on which nobody listens refuses HTTP/2 as well', async (t) => {
  // None that the kernel may take as a client's: then it would meet itself.
  assertOnly('refused', await runLoad(t, { kind: 'short', port: 1 }, (so) => so.begun >= 10))
})
