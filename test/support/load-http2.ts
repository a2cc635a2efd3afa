/**
 * The kinds of client over HTTP/2 in clear text (RFC 9113, by prior knowledge). A request is a stream: a connection that ends takes all of its
 * streams with it, and each of them is a loss.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { setImmediate as afterInput, setTimeout as pause } from 'node:timers/promises'
import { afterwards, type Conditions, hostOf } from './load-clients.ts'
import { hearLines, lost, type Piece, settle } from './load-judge.ts'
import { type Ending, endingOf, type Target } from './load-wire.ts'

/** Requests that a `keep-alive` client has under way at once, on its one connection. */
const atOnce = 8

/** The end of a stream may be told before that of its connection, which says why. */
const sessionTellsMs = 50

/** Runs one client to its end: `keep-alive` has many requests on a connection, all others one. */
export async function runHttp2Client(conditions: Conditions): Promise<void> {
  while (conditions.running()) {
    using session = openSession(conditions)
    if (conditions.kind !== 'keep-alive') {
      await afterwards(conditions, await one(session, conditions))
      continue
    }
    const oneByOne = async () => {
      while (conditions.running() && session.usable) await afterwards(conditions, await one(session, conditions))
    }
    await Promise.all(Array.from({ length: atOnce }, oneByOne))
  }
}

interface Session extends Disposable {
  readonly usable: boolean
  request(path: string): ClientHttp2Stream
  /** How the connection ended, if not as it should. */
  readonly ending: Ending | null
  readonly closed: Promise<void>
}

function openSession(target: Target): Session {
  const session: ClientHttp2Session = connect(`http://${hostOf(target)}`)
  let connected = false
  let ending: Ending | null = null
  session.on('connect', () => {
    connected = true
  })
  session.on('error', (error: NodeJS.ErrnoException) => {
    ending ??= error.code?.startsWith('ERR_HTTP2')
      ? { fate: 'wrong', detail: error.message }
      : endingOf(error, connected)
  })
  const closed = new Promise<void>((resolve) => session.once('close', resolve))
  return {
    closed,
    get usable() {
      return !session.closed && !session.destroyed
    },
    request: (path) => session.request({ ':path': path }),
    get ending() {
      return ending
    },
    [Symbol.dispose]: () => session.destroy(),
  }
}

/** One request and its answer, or its conversation. True if it was answered. */
async function one(session: Session, conditions: Conditions): Promise<boolean> {
  const { kind, path, timeoutMs, ledger } = conditions
  const request = ledger.begin()
  if (!session.usable) return lost(request, { fate: 'cut', detail: 'the connection ended before it was used' })
  const stream = session.request(path)
  let status = 0
  stream.on('response', (headers) => {
    status = headers[':status'] ?? 0
  })
  const next = piecesOf(session, stream, timeoutMs)
  if (kind === 'stream') return await hearLines(conditions, request, next)
  for (let body = ''; ; ) {
    const piece = await next()
    if ('fate' in piece) return lost(request, piece)
    body += piece.text
    if (piece.last) return settle(request, { status, body }) !== null
  }
}

/** Whatever comes on a stream, as it comes; it was whole if its last piece is told. */
function piecesOf(session: Session, stream: ClientHttp2Stream, timeoutMs: number): () => Promise<Piece> {
  const closed = new Promise<void>((resolve) => stream.once('close', resolve))
  // What it says is said by its code, and by the session.
  stream.on('error', () => {})
  stream.setEncoding('utf8')
  const pieces = stream[Symbol.asyncIterator]()
  let late = false

  return async () => {
    const timer = setTimeout(() => {
      late = true
      stream.close(constants.NGHTTP2_CANCEL)
    }, timeoutMs)
    const { done, value } = await pieces.next().catch(() => ({ done: true, value: null }))
    if (!done) {
      clearTimeout(timer)
      return { text: String(value), last: false }
    }
    await closed
    clearTimeout(timer)
    if (late) return { fate: 'timedOut', detail: `nothing came within ${timeoutMs} ms` }
    if (stream.rstCode === constants.NGHTTP2_NO_ERROR && session.ending === null) return { text: '', last: true }
    await Promise.race([session.closed, pause(sessionTellsMs)])
    // A process that had no processor meanwhile hears of its timers first, and then of its connections.
    await afterInput()
    return session.ending ?? { fate: 'cut', detail: `the stream was closed with code ${stream.rstCode}` }
  }
}
