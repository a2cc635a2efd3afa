/** Requests that a candidate gets before its first client: caches fill, code compiles. */
import type { Socket } from 'node:net'
import type { WarmupRequest } from '../core/app-config.ts'
import { failure } from '../core/errors.ts'
import { type Answer, ask } from './ask.ts'

/**
 * Sends all requests one after another, a connection each, and reads the answers to their end. Answers are not judged (health is another
 * question), those that failed are counted in the text: `20 requests, first 310 ms, last 4 ms`.
 * @throws CutoverError `failed` when the signal aborts, whose reason is the cause, naming the request that was under way.
 */
export async function warmUp(plan: {
  readonly requests: readonly WarmupRequest[]
  /** A fresh connection to the candidate itself. */
  readonly connect: () => Promise<Socket>
  /** The Host header. */
  readonly host: string
  readonly signal: AbortSignal
}): Promise<{ readonly text: string; readonly failed: number }> {
  const { connect, host, signal } = plan
  const times: number[] = []
  const failures: string[] = []
  let count = 0
  for (const path of plan.requests.flatMap((one) => Array<string>(one.times).fill(one.path))) {
    try {
      signal.throwIfAborted()
      const answer = await ask({ connect, path, host, timeoutMs: null, wait: 'whole', signal })
      count++
      if (answer.kind === 'http' && answer.status < 500) times.push(answer.ms)
      else failures.push(`GET ${path} ${inWords(answer)}`)
    } catch (error) {
      if (!signal.aborted) throw error
      throw failure(`warmup: GET ${path} did not end (${count} requests before it did)`, { cause: signal.reason })
    }
  }
  const rhythm = times.length > 0 ? `, first ${ms(times[0])}, last ${ms(times.at(-1))}` : ''
  const failed = failures.length > 0 ? `, ${failures.length} failed (${failures[0]})` : ''
  return { text: `${count} requests${rhythm}${failed}`, failed: failures.length }
}

const ms = (value = 0): string => `${value.toFixed(0)} ms`

const inWords = (answer: Answer): string =>
  answer.kind === 'http' ? `answered ${answer.status}` : answer.kind === 'unreachable' ? answer.reason : answer.kind
