/** Servers that do to each request what a script says, and keep their own count: the load client's must come out the same. */
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { WebSocketServer } from 'ws'
import type { Loss } from './load-fates.ts'

export type Fate = 'answered' | Loss

/** What is done, and the fate that a client must see in it. */
export interface Deed<T> {
  readonly fate: Fate
  act(on: T): void | Promise<void>
}

export interface Scripted {
  readonly port: number
  /** How many requests met each fate, as the server knows it. */
  readonly done: Readonly<Record<Fate, number>>
}

const answer = (body: string, more = ''): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`

const whole = answer('v1 as it should be\n')
const half = whole.slice(0, whole.length - 5)
const chunkedHead = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

/** Everything that a server can do to a request. */
export const deeds = {
  answers: { fate: 'answered', act: (socket) => void socket.write(whole) },
  'answers and leaves': { fate: 'answered', act: (socket) => void socket.end(answer('v1\n', 'Connection: close\r\n')) },
  'answers byte by byte': {
    fate: 'answered',
    async act(socket) {
      for (const byte of whole) {
        socket.write(byte)
        await pause(1)
      }
    },
  },
  'answers in chunks': {
    fate: 'answered',
    act: (socket) => void socket.write(`${chunkedHead}3\r\nv1 \r\n5\r\nchunk\r\n0\r\n\r\n`),
  },
  'resets at once': { fate: 'reset', act: (socket) => void socket.resetAndDestroy() },
  'resets amid the answer': {
    fate: 'reset',
    act: (socket) => void socket.write(half, () => socket.resetAndDestroy()),
  },
  'closes without a word': { fate: 'cut', act: (socket) => void socket.end() },
  'closes amid the head': { fate: 'cut', act: (socket) => void socket.end(whole.slice(0, 20)) },
  'closes amid the body': { fate: 'cut', act: (socket) => void socket.end(half) },
  'closes amid the chunks': { fate: 'cut', act: (socket) => void socket.end(`${chunkedHead}3\r\nv1 \r\n`) },
  'answers without a length': { fate: 'wrong', act: (socket) => void socket.end('HTTP/1.1 200 OK\r\n\r\nv1\n') },
  'answers 500': { fate: 'wrong', act: (socket) => void socket.write(whole.replace('200 OK', '500 Oh no')) },
  'answers in nobody’s name': { fate: 'wrong', act: (socket) => void socket.write(answer('hello\n')) },
  'answers twice': { fate: 'wrong', act: (socket) => void socket.write(whole + whole) },
  'does not speak HTTP': { fate: 'wrong', act: (socket) => void socket.write('220 mail.example ESMTP\r\n') },
  'says nothing': { fate: 'timedOut', act: () => {} },
  'says half and then nothing': { fate: 'timedOut', act: (socket) => void socket.write(half) },
} as const satisfies Readonly<Record<string, Deed<Socket>>>

/** Says a byte now and then for as long as somebody listens: never silent for long, and never done. */
export const drips: Deed<Socket> = {
  fate: 'timedOut',
  async act(socket) {
    for (const byte of answer('.'.repeat(10_000))) {
      if (socket.destroyed) return
      socket.write(byte)
      await pause(50)
    }
  },
}

/** Serves HTTP as `script` says, request by request. */
export async function scriptedServer(t: TestContext, script: () => Deed<Socket>): Promise<Scripted> {
  const done = noneDone()
  const server = createServer((socket) => {
    let asked = ''
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      asked += bytes.toString('latin1')
      if (!asked.endsWith('\r\n\r\n')) return
      asked = ''
      const deed = script()
      done[deed.fate]++
      deed.act(socket)
    })
  })
  return { port: await listening(t, server), done }
}

/** One conversation, as its server sees it: where it has got to, and how to say the next right message or another. */
export interface Conversation {
  readonly count: number
  say(text: string): void
  readonly socket: Socket
}

/** What goes wrong with a conversation at its third message. `say` wants the text of a message, as in `v1 3`. */
export const misdeeds = {
  resets: { fate: 'reset', act: ({ socket }) => void socket.resetAndDestroy() },
  closes: { fate: 'cut', act: ({ socket }) => void socket.end() },
  'leaves a message out': { fate: 'wrong', act: ({ say, count }) => say(`v1 ${count + 1}`) },
  'repeats a message': { fate: 'wrong', act: ({ say, count }) => say(`v1 ${count - 1}`) },
  'goes on as another release': { fate: 'wrong', act: ({ say, count }) => say(`v2 ${count}`) },
  'falls silent': { fate: 'timedOut', act: () => {} },
} as const satisfies Readonly<Record<string, Deed<Conversation>>>

const misdeedAt = 3

/** Streams numbered lines; at the third the script may do something else, or nothing (null) and the stream goes on. */
export async function scriptedStream(t: TestContext, script: () => Deed<Conversation> | null): Promise<Scripted> {
  const done = noneDone()
  const server = createServer((socket) => {
    let count = 0
    const say = (text: string) => void socket.write(`${(text.length + 8).toString(16)}\r\ndata: ${text}\n\n\r\n`)
    const next = () => {
      count++
      if (!perform(done, count, script, { count, say, socket })) return clearInterval(timer)
      say(`v1 ${count}`)
    }
    let timer: NodeJS.Timeout | undefined
    socket.on('error', () => {})
    socket.on('close', () => clearInterval(timer))
    socket.once('data', () => {
      socket.write(chunkedHead)
      timer = setInterval(next, 20)
    })
  })
  return { port: await listening(t, server), done }
}

/** Echoes on WebSockets, by a library that many use; at the third message the script may do something else. */
export async function scriptedWebSocket(t: TestContext, script: () => Deed<Conversation> | null): Promise<Scripted> {
  const done = noneDone()
  const sockets = new WebSocketServer({ noServer: true })
  const server = createHttpServer()
  server.on('upgrade', (request, socket: Socket, head) => {
    sockets.handleUpgrade(request, socket, head, (client) => {
      let count = 0
      client.on('error', () => {})
      client.on('message', (text) => {
        count++
        const say = (said: string) => client.send(said)
        if (perform(done, count, script, { count, say, socket })) say(`v1 ${text}`)
      })
    })
  })
  return { port: await listening(t, server), done }
}

/** Lets the script act if it is time; true if the conversation goes on as it should. */
function perform(
  done: Record<Fate, number>,
  count: number,
  script: () => Deed<Conversation> | null,
  conversation: Conversation,
): boolean {
  const misdeed = count === misdeedAt ? script() : null
  if (!misdeed) return true
  done[misdeed.fate]++
  misdeed.act(conversation)
  return false
}

export const noneDone = (): Record<Fate, number> => ({
  answered: 0,
  refused: 0,
  reset: 0,
  cut: 0,
  wrong: 0,
  timedOut: 0,
})

/** Listens on a free port of 127.0.0.1 until the test ends. */
export async function listening(t: TestContext, server: Server): Promise<number> {
  const open = new Set<Socket>()
  server.on('connection', (socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
