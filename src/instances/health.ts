/** Finding out whether a candidate is really ready. What "healthy" means is the config's `health`. */
import type { Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HealthCheck } from '../core/app-config.ts'
import { failure } from '../core/errors.ts'
import { describeExit, type ExitStatus } from '../linux/process.ts'
import { type Answer, ask, withConnection } from './ask.ts'

export interface HealthQuestion {
  readonly check: HealthCheck
  /** A fresh connection to the candidate itself, dark or not. */
  readonly connect: () => Promise<Socket>
  /** Named in words and in the Host header. */
  readonly port: number
  /** An earlier release of the app spoke HTTP: `auto` then takes nothing else. */
  readonly expectHttp: boolean
  /** Runs the check's command; rejects, and kills it, when the signal aborts. */
  readonly run: (command: readonly string[], signal: AbortSignal) => Promise<ExitStatus>
  readonly signal: AbortSignal
}

export interface Health {
  /** `GET / 200, 2 of 2, 4 ms` */
  readonly text: string
  /** Whether it speaks HTTP; null where the check does not tell. */
  readonly http: boolean | null
}

/**
 * Asks every 100 ms, over a new connection each time, until the answer was good `healthy` times in a row.
 * @throws CutoverError `failed` when the signal aborts, whose reason is the cause; the message is the last answer: `GET / answered 500, 31 times`.
 */
export async function untilHealthy(question: HealthQuestion): Promise<Health> {
  const { check, signal } = question
  let last: Verdict | null = null
  let times = 0
  try {
    for (;;) {
      signal.throwIfAborted()
      const began = performance.now()
      const verdict = await look(question)
      times = same(last, verdict) ? times + 1 : 1
      last = verdict
      if (verdict.ok && times >= check.healthy)
        return {
          text: `${verdict.text}, ${times} of ${check.healthy}, ${verdict.ms.toFixed(0)} ms`,
          http: verdict.http,
        }
      await sleep(Math.max(0, rhythmMs - (performance.now() - began)), undefined, { signal })
    }
  } catch (error) {
    if (!signal.aborted) throw error
    throw failure(last === null ? `${subject(check)} was not answered yet` : lastWords(last, times), {
      cause: signal.reason,
    })
  }
}

/** The Host header of every request to the app. */
export const hostOf = (check: HealthCheck, port: number): string =>
  (check.kind === 'http' ? check.host : null) ?? `localhost:${port}`

const rhythmMs = 100

type Verdict =
  | { readonly ok: true; readonly text: string; readonly http: boolean | null; readonly ms: number }
  /** `hint`: what to do if it stays so. */
  | { readonly ok: false; readonly text: string; readonly hint?: string }

const same = (a: Verdict | null, b: Verdict): boolean =>
  a !== null && (a.ok && b.ok ? a.http === b.http : a.ok === b.ok && a.text === b.text)

const lastWords = (verdict: Verdict, times: number): string => {
  const counted = times > 1 ? `${verdict.text}, ${times} times` : verdict.text
  return verdict.ok || verdict.hint === undefined ? counted : `${counted}; ${verdict.hint}`
}

const subject = (check: HealthCheck): string =>
  check.kind === 'http' ? `GET ${check.path}` : check.kind === 'command' ? check.command.join(' ') : 'GET /'

async function look(question: HealthQuestion): Promise<Verdict> {
  const { check, connect, port, signal } = question
  const { timeoutMs } = check
  switch (check.kind) {
    case 'command':
      return lookByCommand(question, check.command)
    case 'tcp': {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
      const began = performance.now()
      const answer = await withConnection(connect, limit, () => ({ kind: 'closed', ms: performance.now() - began }))
      signal.throwIfAborted()
      return 'ms' in answer
        ? { ok: true, text: 'accepts connections', http: null, ms: answer.ms }
        : { ok: false, text: inWords(answer, `port ${port}`, timeoutMs) }
    }
    case 'http':
    case 'auto': {
      const path = check.kind === 'http' ? check.path : '/'
      const answer = await ask({ connect, path, host: hostOf(check, port), timeoutMs, wait: 'head', signal })
      return check.kind === 'http' ? judge(answer, path, check) : judgeUnasked(answer, question)
    }
  }
}

function judge(answer: Answer, path: string, check: { status: number | null; timeoutMs: number }): Verdict {
  const text = `GET ${path}`
  if (answer.kind !== 'http') return { ok: false, text: inWords(answer, text, check.timeoutMs) }
  const { status, ms } = answer
  if (check.status === null ? status >= 200 && status < 400 : status === check.status)
    return { ok: true, text: `${text} ${status}`, http: true, ms }
  return { ok: false, text: `${text} answered ${status} (expected ${check.status ?? '2xx or 3xx'})` }
}

/** `health: auto`: HTTP below 500, or a server that takes connections and answers something else. Silence is not health. */
function judgeUnasked(answer: Answer, { check, expectHttp }: HealthQuestion): Verdict {
  switch (answer.kind) {
    case 'http':
      return answer.status < 500
        ? { ok: true, text: `GET / ${answer.status}`, http: true, ms: answer.ms }
        : { ok: false, text: `GET / answered ${answer.status}` }
    case 'foreign':
    case 'closed':
      return expectHttp
        ? {
            ok: false,
            text: `${inWords(answer, 'GET /', check.timeoutMs)}, but earlier releases of this app spoke HTTP`,
          }
        : { ok: true, text: 'accepts connections (no HTTP)', http: false, ms: answer.ms }
    case 'silent':
      return {
        ok: false,
        text: inWords(answer, 'GET /', check.timeoutMs),
        hint: 'if it waits for its clients to speak another protocol, say health: {tcp: true}',
      }
    case 'broken':
    case 'unreachable':
      return { ok: false, text: inWords(answer, 'GET /', check.timeoutMs) }
  }
}

function inWords(answer: Exclude<Answer, { kind: 'http' }>, asked: string, timeoutMs: number): string {
  switch (answer.kind) {
    case 'broken':
      return `${asked} got HTTP that cannot be understood or breaks off`
    case 'foreign':
      return `${asked} got an answer that is no HTTP`
    case 'closed':
      return `${asked} was closed without an answer`
    case 'silent':
      return `${asked} got no answer within ${timeoutMs / 1000} s`
    case 'unreachable':
      return `${asked} could not be asked: ${answer.reason}`
  }
}

async function lookByCommand(question: HealthQuestion, command: readonly string[]): Promise<Verdict> {
  const { check, signal } = question
  const text = command.join(' ')
  const limit = AbortSignal.timeout(check.timeoutMs)
  const began = performance.now()
  try {
    const status = await question.run(command, AbortSignal.any([signal, limit]))
    if (status.code === 0) return { ok: true, text, http: null, ms: performance.now() - began }
    return { ok: false, text: `${text} ${describeExit(status)}` }
  } catch (error) {
    if (signal.aborted || !limit.aborted) throw error
    return { ok: false, text: `${text} did not end within ${check.timeoutMs / 1000} s` }
  }
}
