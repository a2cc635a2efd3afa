/** The kinds of client over HTTP/1.1: each asks for as long as `running` says so, begins nothing afterwards, and tells the fate of all it began. */
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import type { Ledger, Request } from './load-fates.ts'
import { type Answer, excerpt, type Parsed, parseAnswer, parseChunks, parseHead } from './load-http.ts'
import { hearLines, lost, releaseOf, settle } from './load-judge.ts'
import { type Frame, frame, handshake, opcodes, parseFrame } from './load-websocket.ts'
import { type Ending, openWire, type Target, type Wire } from './load-wire.ts'

/**
 * - `short`: a new connection for each request.
 * - `keep-alive`: request after request on one connection.
 * - `slow`: like `short`, and the server takes `slowMs` to answer.
 * - `trickle`: like `short`, and the client takes `slowMs` to ask: the second half of the request comes late. For servers that cannot wait.
 * - `websocket`: a connection that stays open; a counter goes out every `everyMs` and has to come back.
 * - `stream`: an answer that does not end, with a numbered line every `everyMs`.
 */
export type Kind = 'short' | 'keep-alive' | 'slow' | 'trickle' | 'websocket' | 'stream'

export interface Conditions extends Target {
  readonly kind: Kind
  readonly path: string
  /** Between two requests of one client. */
  readonly pauseMs: number
  readonly slowMs: number
  readonly everyMs: number
  /** For a whole answer; for conversations, for each message. */
  readonly timeoutMs: number
  readonly ledger: Ledger
  running(): boolean
}

/** Status 1000 of a close frame (RFC 6455, section 7.4.1). */
const normalClosure = Buffer.from([0x03, 0xe8])

/** After a loss, so that refusals do not turn into a busy loop. What follows is the next request, not the same again. */
const pauseAfterLossMs = 10

/** Runs one client to its end. */
export async function runClient(conditions: Conditions): Promise<void> {
  const { kind } = conditions
  if (kind === 'keep-alive') return keepAlive(conditions)
  while (conditions.running()) await afterwards(conditions, await onOneConnection(kind, conditions))
}

const oneByOne = { short, slow: short, trickle, websocket, stream }

/** One request on a connection of its own. True if it was answered, false if it was lost. */
async function onOneConnection(kind: keyof typeof oneByOne, conditions: Conditions): Promise<boolean> {
  const request = conditions.ledger.begin()
  using wire = openWire(conditions)
  return await oneByOne[kind](conditions, wire, request)
}

async function keepAlive(conditions: Conditions): Promise<void> {
  let wire: Wire | null = null
  try {
    while (conditions.running()) {
      const spoke = wire?.unread ?? false
      if (wire?.ended) {
        wire = null
        if (!spoke) conditions.ledger.closedIdle()
      }
      const request = conditions.ledger.begin()
      if (spoke) {
        request.lost('wrong', 'the server had spoken before it was asked')
        wire?.[Symbol.dispose]()
        wire = null
        continue
      }
      wire ??= openWire(conditions)
      wire.write(get(conditions, 'keep-alive'))
      const answer = settle(request, await answerOn(wire, conditions.timeoutMs))
      if (!answer?.stays) {
        wire[Symbol.dispose]()
        wire = null
      }
      await afterwards(conditions, answer !== null)
    }
  } finally {
    wire?.[Symbol.dispose]()
  }
}

async function short(conditions: Conditions, wire: Wire, request: Request): Promise<boolean> {
  wire.write(get(conditions, 'close'))
  return settle(request, await answerOn(wire, conditions.timeoutMs)) !== null
}

async function trickle(conditions: Conditions, wire: Wire, request: Request): Promise<boolean> {
  const whole = get(conditions, 'close')
  const half = whole.indexOf('\r\n') + 2
  wire.write(whole.slice(0, half))
  const quiet = await wire.staysQuiet(conditions.slowMs)
  if (quiet) wire.write(whole.slice(half))
  const answer = await answerOn(wire, conditions.timeoutMs)
  if (quiet || !('status' in answer)) return settle(request, answer) !== null
  request.lost('wrong', `answered with ${answer.status} before it was asked`)
  return false
}

async function websocket(conditions: Conditions, wire: Wire, request: Request): Promise<boolean> {
  const { timeoutMs, everyMs } = conditions
  const { request: hello, check } = handshake(conditions.path, hostOf(conditions))
  const reader = readerOn(wire)
  wire.write(hello)
  const head = await reader.next(parseHead, timeoutMs)
  if ('fate' in head) return lost(request, head)
  const fault = check(head)
  if (fault) return lost(request, { fate: 'wrong', detail: fault })

  let release: string | null = null
  for (let count = 1; release === null || conditions.running(); count++) {
    const asked = performance.now()
    wire.write(frame(opcodes.text, Buffer.from(String(count))))
    const got = await nextMessage(wire, reader, timeoutMs)
    if ('fate' in got) return lost(request, got)
    if (got.opcode === opcodes.close) return lost(request, { fate: 'cut', detail: `closed: ${excerpt(got.payload)}` })
    const from = releaseOf(got.payload.toString(), String(count))
    if (got.opcode !== opcodes.text || from === null || (release !== null && from !== release))
      return lost(request, { fate: 'wrong', detail: `message ${count} of ${release}: ${excerpt(got.payload)}` })
    release = from
    request.message(release, performance.now() - asked)
    const until = performance.now() + everyMs
    while (reader.leftOver.length > 0 || !(await wire.staysQuiet(Math.max(0, until - performance.now())))) {
      const unasked = await reader.next(parseFrame, timeoutMs)
      if ('fate' in unasked || !answeredPing(wire, unasked)) return lost(request, endOf(unasked))
    }
  }
  wire.write(frame(opcodes.close, normalClosure))
  request.answered(release)
  return true
}

async function stream(conditions: Conditions, wire: Wire, request: Request): Promise<boolean> {
  const { timeoutMs } = conditions
  const reader = readerOn(wire)
  wire.write(get(conditions, 'close'))
  const head = await reader.next(parseHead, timeoutMs)
  if ('fate' in head) return lost(request, head)
  if (head.status !== 200 || head.headers['transfer-encoding'] !== 'chunked')
    return lost(request, { fate: 'wrong', detail: `status ${head.status}, ${head.headers['transfer-encoding']}` })
  return await hearLines(conditions, request, () => reader.next(someChunks, timeoutMs))
}

/** At least one whole chunk. */
const someChunks = (bytes: Buffer): ReturnType<typeof parseChunks> => {
  const chunks = parseChunks(bytes)
  return chunks.is === 'whole' && chunks.used === 0 ? { is: 'partial' } : chunks
}

const get = (conditions: Conditions, connection: 'close' | 'keep-alive'): string =>
  `GET ${conditions.path} HTTP/1.1\r\nHost: ${hostOf(conditions)}\r\nConnection: ${connection}\r\n\r\n`

export const hostOf = ({ address, port }: Target): string =>
  `${address.includes(':') ? `[${address}]` : address}:${port}`

/** What comes on a wire, cut into the pieces that `parse` knows; what is left over waits for the next call. */
function readerOn(wire: Wire) {
  let bytes: Buffer = Buffer.alloc(0)
  return {
    async next<T>(parse: (bytes: Buffer) => Parsed<T>, timeoutMs: number): Promise<T | Ending> {
      const until = performance.now() + timeoutMs
      while (true) {
        const parsed = bytes.length > 0 ? parse(bytes) : ({ is: 'partial' } as const)
        if (parsed.is === 'malformed') return { fate: 'wrong', detail: parsed.why }
        if (parsed.is === 'whole') {
          bytes = bytes.subarray(parsed.used)
          return parsed.value
        }
        const more = await wire.next(Math.max(0, until - performance.now()))
        if (!Buffer.isBuffer(more)) return { fate: more.fate, detail: `${more.detail}, after ${bytes.length} bytes` }
        bytes = bytes.length === 0 ? more : Buffer.concat([bytes, more])
      }
    },
    get leftOver() {
      return bytes
    },
  }
}

/** The one answer that has been asked for on a wire, and nothing after it. */
async function answerOn(wire: Wire, timeoutMs: number): Promise<Answer | Ending> {
  const reader = readerOn(wire)
  const answer = await reader.next(parseAnswer, timeoutMs)
  if ('fate' in answer || reader.leftOver.length === 0) return answer
  return { fate: 'wrong', detail: `more than the answer: ${excerpt(reader.leftOver)}` }
}

/** The next frame that is not a ping. */
async function nextMessage(
  wire: Wire,
  reader: ReturnType<typeof readerOn>,
  timeoutMs: number,
): Promise<Frame | Ending> {
  for (;;) {
    const got = await reader.next(parseFrame, timeoutMs)
    if ('fate' in got || !answeredPing(wire, got)) return got
  }
}

/** A server may ping whenever it likes, and has to be answered (RFC 6455, section 5.5.2). */
function answeredPing(wire: Wire, { opcode, payload }: Frame): boolean {
  if (opcode === opcodes.ping) wire.write(frame(opcodes.pong, payload))
  return opcode === opcodes.ping
}

/** What ended a conversation while nobody was waiting for a message. */
function endOf(end: Frame | Ending): Ending {
  if ('fate' in end) return end
  if (end.opcode === opcodes.close) return { fate: 'cut', detail: `closed: ${excerpt(end.payload)}` }
  return { fate: 'wrong', detail: `a message that nobody asked for: ${excerpt(end.payload)}` }
}

/** Pauses as the client should after an answer or a loss. */
export async function afterwards(conditions: Conditions, ok: boolean): Promise<void> {
  const ms = ok ? conditions.pauseMs : Math.max(conditions.pauseMs, pauseAfterLossMs)
  if (ms > 0) await pause(ms)
}
