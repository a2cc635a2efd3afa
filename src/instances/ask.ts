/** One request over a fresh connection, and what became of it. Any answer is fine here, however huge, endless, slow or wrong it is. */
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import { performance } from 'node:perf_hooks'

export type Answer =
  | { readonly kind: 'http'; readonly status: number; readonly ms: number }
  /** It began with `HTTP/` and cannot be understood, or broke off. */
  | { readonly kind: 'broken'; readonly ms: number }
  /** Bytes that are no HTTP, perhaps before anything was asked. */
  | { readonly kind: 'foreign'; readonly ms: number }
  /** Closed or reset without a byte. */
  | { readonly kind: 'closed'; readonly ms: number }
  | { readonly kind: 'silent' }
  | { readonly kind: 'unreachable'; readonly reason: string }

export interface Question {
  /** Makes a connection that nothing has used yet. */
  readonly connect: () => Promise<Socket>
  readonly path: string
  /** The Host header. */
  readonly host: string
  /** For connection and answer together; null: as long as the signal allows. */
  readonly timeoutMs: number | null
  /** `head`: the status decides, of the body only a little is read, for politeness. `whole`: the answer is there when its end is. */
  readonly wait: 'head' | 'whole'
  readonly signal: AbortSignal
}

/** Sends `GET path` and tells what came. Redirects are answers like others. Rejects only when the signal aborts, with its reason. */
export async function ask(question: Question): Promise<Answer> {
  const { timeoutMs, signal } = question
  const limit = timeoutMs === null ? signal : AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const answer = await withConnection(question.connect, limit, (socket) => converse(socket, question, limit))
  signal.throwIfAborted()
  return answer
}

/** Makes a connection for `act`, and closes it whatever happens; `silent` or `unreachable` if there is none in time. */
export async function withConnection(
  connect: () => Promise<Socket>,
  limit: AbortSignal,
  act: (socket: Socket) => Answer | Promise<Answer>,
): Promise<Answer> {
  const connecting = connect()
  let socket: Socket | null
  try {
    socket = await beforeAbort(connecting, limit)
  } catch (error) {
    return { kind: 'unreachable', reason: error instanceof Error ? error.message : String(error) }
  }
  if (socket === null) {
    // It may still come, and then nobody wants it.
    connecting.then((late) => late.on('error', () => {}).destroy()).catch(() => {})
    return { kind: 'silent' }
  }
  // Errors after the answer are of no interest, and must not end the daemon.
  socket.on('error', () => {})
  try {
    return await act(socket)
  } finally {
    socket.destroy()
  }
}

/** Null if the signal aborts first. */
function beforeAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const aborted = () => resolve(null)
    signal.addEventListener('abort', aborted)
    if (signal.aborted) aborted()
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted))
  })
}

/** How much of a body, and for how long, is read after the status has decided: cutting a server off makes it log errors. */
const politeness = { bytes: 65_536, ms: 100 }

const maxHeaderBytes = 262_144

function converse(socket: Socket, question: Question, limit: AbortSignal): Promise<Answer> {
  const began = performance.now()
  const elapsed = () => performance.now() - began
  return new Promise((resolve) => {
    let sent: ClientRequest | null = null
    const done = (answer: Answer) => {
      limit.removeEventListener('abort', late)
      resolve(answer)
      sent?.destroy()
    }
    const late = () => done({ kind: 'silent' })
    limit.addEventListener('abort', late)
    if (limit.aborted) return late()

    let first = ''
    socket.on('data', (chunk: Buffer) => {
      if (first.length >= protocol.length) return
      first = (first + chunk.toString('latin1', 0, protocol.length)).slice(0, protocol.length)
      if (!protocol.startsWith(first)) done({ kind: 'foreign', ms: elapsed() })
    })
    const broken = (): Answer => ({ kind: first === '' ? 'closed' : 'broken', ms: elapsed() })
    sent = request({
      createConnection: () => socket,
      path: question.path,
      // `Connection: close` is Node's own choice where no agent keeps connections.
      headers: { host: question.host, 'user-agent': 'cutover', accept: '*/*' },
      insecureHTTPParser: true,
      maxHeaderSize: maxHeaderBytes,
    })
    sent.on('response', (response) => {
      const answer: Answer = { kind: 'http', status: response.statusCode ?? 0, ms: elapsed() }
      if (question.wait === 'whole')
        return readAll(response, (whole) => done(whole ? { ...answer, ms: elapsed() } : broken()))
      // Decided: it can no longer be too late.
      limit.removeEventListener('abort', late)
      skim(response, () => done(answer))
    })
    sent.on('upgrade', (response) => done({ kind: 'http', status: response.statusCode ?? 101, ms: elapsed() }))
    sent.on('error', () => done(broken()))
    sent.end()
  })
}

const protocol = 'HTTP/'

function skim(response: IncomingMessage, done: () => void): void {
  let bytes = 0
  const enough = setTimeout(done, politeness.ms)
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > politeness.bytes) done()
  })
  response.on('error', () => {})
  response.on('close', () => {
    clearTimeout(enough)
    done()
  })
}

function readAll(response: IncomingMessage, done: (whole: boolean) => void): void {
  response.on('error', () => {})
  response.on('close', () => done(response.complete))
  response.resume()
}
