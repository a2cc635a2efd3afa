/**
 * The books of the load client: every request that was begun has exactly one fate, and the sums must agree at any moment. Nothing is
 * retried, and nothing is excused.
 */
import { performance } from 'node:perf_hooks'

/** The ways in which a request can be lost, in the order in which people read them. */
export const losses = ['refused', 'reset', 'cut', 'wrong', 'timedOut'] as const

/**
 * - `refused`: no connection came about.
 * - `reset`: the connection broke (RST) before the whole answer was there.
 * - `cut`: the connection was closed (FIN) before the whole answer was there.
 * - `wrong`: an answer that is not the one asked for, or that cannot be told from half an answer.
 * - `timedOut`: nothing of the above within the time-out.
 */
export type Loss = (typeof losses)[number]

/** How one request was lost, for the person who has to find out why. */
export interface Failure {
  readonly fate: Loss
  readonly detail: string
  /** When it was begun and when lost, in milliseconds since the load began. */
  readonly begunMs: number
  readonly lostMs: number
}

/** What became of all requests so far: `begun = pending + answered + refused + reset + cut + wrong + timedOut`. */
export interface Fates extends Readonly<Record<Loss, number>> {
  readonly begun: number
  /** Requests that are on their way at this moment. */
  readonly pending: number
  /** Requests answered whole and right, by the release that answered: `{v4: 1204}`. */
  readonly answered: Readonly<Record<string, number>>
  /** Messages that came back on open WebSockets and streams, by release. A conversation as a whole is one request. */
  readonly messages: Readonly<Record<string, number>>
  /** Idle keep-alive connections that the server ended before a byte of the next request was sent. No request, so no fate. */
  readonly closedIdle: number
  /** The longest that a whole answer took (for WebSockets and streams: one message), in milliseconds. */
  readonly longestMs: number
  /** How long the load has been running. */
  readonly elapsedMs: number
  /** The first losses, at most 20. */
  readonly failures: readonly Failure[]
}

/** One request on its way. Its fate is told once; telling it again is a defect of the load client and throws. */
export interface Request {
  answered(release: string): void
  lost(fate: Loss, detail: string): void
  /** A message of a conversation came back, `waitedMs` after it was due. */
  message(release: string, waitedMs: number): void
}

export interface Ledger {
  begin(): Request
  closedIdle(): void
  fates(): Fates
}

const failuresKept = 20

const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)

/** Requests answered, by whomever. */
export const answeredIn = (fates: Fates): number => sum(fates.answered)

/** Requests lost, however. */
export const lostIn = (fates: Fates): number => losses.reduce((total, fate) => total + fates[fate], 0)

/** @throws Error if a request has no fate, or two. */
export function assertBalanced(fates: Fates): void {
  const told = fates.pending + answeredIn(fates) + lostIn(fates)
  if (told !== fates.begun) throw new Error(`${fates.begun} requests were begun, and ${told} are accounted for`)
}

/** Opens the books. Conversations (`waits: 'messages'`) take their longest wait from messages, everything else from whole answers. */
export function openLedger(waits: 'answers' | 'messages' = 'answers'): Ledger {
  const opened = performance.now()
  const lost: Record<Loss, number> = { refused: 0, reset: 0, cut: 0, wrong: 0, timedOut: 0 }
  const answered: Record<string, number> = {}
  const messages: Record<string, number> = {}
  const failures: Failure[] = []
  let begun = 0
  let pending = 0
  let idle = 0
  let longest = 0

  return {
    begin() {
      const since = performance.now()
      let told: string | null = null
      begun++
      pending++
      const settle = (fate: string) => {
        if (told !== null) throw new Error(`a request that was ${told} cannot be ${fate} as well`)
        told = fate
        pending--
      }
      return {
        answered(release) {
          settle('answered')
          answered[release] = (answered[release] ?? 0) + 1
          if (waits === 'answers') longest = Math.max(longest, performance.now() - since)
        },
        lost(fate, detail) {
          settle(fate)
          lost[fate]++
          if (failures.length === failuresKept) return
          failures.push({ fate, detail, begunMs: since - opened, lostMs: performance.now() - opened })
        },
        message(release, waitedMs) {
          if (told !== null) throw new Error(`a message of a conversation that was ${told}`)
          messages[release] = (messages[release] ?? 0) + 1
          longest = Math.max(longest, waitedMs)
        },
      }
    },
    closedIdle() {
      idle++
    },
    fates: () => ({
      begun,
      pending,
      answered: { ...answered },
      ...lost,
      messages: { ...messages },
      closedIdle: idle,
      longestMs: longest,
      elapsedMs: performance.now() - opened,
      failures: [...failures],
    }),
  }
}
