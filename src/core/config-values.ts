/** The kinds of values that a config has, as schemas. Each says what it expects, in words for people. */
import * as z from 'zod'
import { addressBytes, addressText, anyAddress } from './address.ts'
import type { StopStep } from './app-config.ts'
import { splitCommand } from './command-words.ts'
import { durationForm, longestDuration, parseDuration } from './duration.ts'
import { parseSize, sizeForm } from './size.ts'

/** An error for a value that is missing or not what was expected. */
export const expected =
  (what: string) =>
  ({ input }: { readonly input?: unknown }): string =>
    input === undefined ? `missing, expected ${what}` : `expected ${what}, not ${shown(input)}`

/** An error for a value, or one of its kinds, that the contract has and this version does not. */
export const notBuilt = (what: string): string => `${what} is not built yet`

/** A whole number of that range, both ends included. */
export function integer(from: number, to: number) {
  const error = expected(`a whole number from ${from} to ${to}`)
  return z.number({ error }).int({ error }).min(from, { error }).max(to, { error })
}

/** Text that fits the pattern. */
export function text(pattern: RegExp, what: string) {
  const error = expected(what)
  return z.string({ error }).regex(pattern, { error })
}

/** Text of one line, not empty. The C library's strings end at a zero byte. */
export const line = (what: string) => text(/^[^\0\r\n]+$/, what)

/** Milliseconds. */
export function duration({ atLeast = 0 } = {}) {
  const error = expected(durationForm)
  return z
    .string({ error })
    .regex(/^\d+(\.\d+)?(ms|s|m|h)$/, { error })
    .transform((written, context) => {
      const ms = parseDuration(written)
      if (ms !== null && ms >= atLeast) return ms
      const limits = atLeast > 0 ? `at least ${atLeast}ms and ` : ''
      context.issues.push({
        code: 'custom',
        input: written,
        message: `expected ${limits}at most ${longestDuration / 3_600_000}h, not ${written}`,
      })
      return z.NEVER
    })
}

/** Bytes, from so many on. */
export function size({ atLeast, spoken }: { readonly atLeast: number; readonly spoken: string }) {
  const error = expected(sizeForm)
  return z
    .string({ error })
    .regex(/^\d{1,6}(\.\d{1,3})?(KB|MB|GB)$/, { error })
    .transform((written, context) => {
      const bytes = parseSize(written)
      if (bytes !== null && bytes >= atLeast) return bytes
      const message = `expected at least ${spoken}, not ${written}`
      context.issues.push({ code: 'custom', input: written, message })
      return z.NEVER
    })
}

/** One of the words that are built; those of the contract that are not are told apart from mistakes. */
export const choice = <const Built extends readonly [string, ...string[]]>(
  built: Built,
  later: readonly string[] = [],
) =>
  z.enum(built, {
    error: (issue) =>
      typeof issue.input === 'string' && later.includes(issue.input)
        ? `${notBuilt(issue.input)}; possible now: ${built.join(', ')}`
        : expected(built.join(' or '))(issue),
  })

/** An IP address at which a server can be reached, as the kernel writes it; `any` is `::`, as for a server that listens there. */
export function address() {
  const error = expected('any, or an IP address like 127.0.0.1 or ::1')
  return z
    .union([z.literal('any'), z.ipv4(), z.ipv6()], { error })
    .transform((written) => (written === 'any' ? anyAddress : addressText(addressBytes(written))))
    .refine((text) => !/^(22[4-9]|23\d|255\.255\.255\.255$|ff..:|fe[89ab].:)/.test(text), {
      error: ({ input }) => `${input} is not an address at which a server can be reached`,
    })
}

/** What ends up as text wherever it goes, although YAML takes `5` and `true` for something else. */
export const scalar = (what: string) => {
  const error = expected(what)
  return z
    .union([z.string({ error }), z.number({ error }), z.boolean({ error })], { error })
    .transform(String)
    .refine((value) => !value.includes('\0'), { error: 'holds a zero byte, which no process can be given' })
}

/** A command: text that is split as a shell would, or its words as they are. */
export function command() {
  const error = expected('a command, as text or as a list of words')
  const split = z.string({ error }).transform((written, context) => {
    const result = splitCommand(written)
    if ('words' in result && result.words.length > 0 && result.words[0]) return result.words
    const message = 'problem' in result ? result.problem : 'expected a command, not an empty text'
    context.issues.push({ code: 'custom', input: written, message })
    return z.NEVER
  })
  const list = z
    .array(scalar('a word'), { error })
    .refine((words) => words.length > 0 && words[0] !== '', { error: 'expected a program as the first word' })
  return z.union([split, list], { error })
}

/** A path inside the app's folder. */
export const insidePath = () =>
  line("a path inside the app's folder").refine(
    (path) => !path.startsWith('/') && !path.split('/').includes('..') && !/^[./]*$/.test(path),
    { error: expected("a path inside the app's folder, like uploads") },
  )

const signals = ['TERM', 'INT', 'QUIT', 'HUP', 'USR1', 'USR2', 'WINCH', 'ABRT', 'ALRM', 'CONT', 'PWR', 'KILL'] as const

/** What is done to end a process: one signal, or several with waits between. */
export function stopSignal() {
  const error = expected(`a signal (${signals.join(', ')}), or a list like [QUIT, 10s, TERM]`)
  const one = z.enum([...signals, ...signals.map((name) => `SIG${name}` as const)], { error })
  const wait = duration()
  return z
    .union([one, z.array(z.union([one, wait], { error }), { error })], { error })
    .transform((written, context): readonly StopStep[] => {
      const steps: StopStep[] = []
      let afterSignal = false
      for (const part of typeof written === 'string' ? [written] : written) {
        const last = steps.at(-1)
        if (typeof part === 'string')
          steps.push({ signal: `SIG${part.replace(/^SIG/, '')}` as NodeJS.Signals, waitMs: 0 })
        else if (last && afterSignal) steps[steps.length - 1] = { ...last, waitMs: part }
        else return fault('each wait has to follow a signal')
        afterSignal = typeof part === 'string'
      }
      return afterSignal ? steps : fault('the last one has to be a signal; what follows it is stop_timeout')

      function fault(message: string): never {
        context.issues.push({ code: 'custom', input: written, message })
        return z.NEVER
      }
    })
}

/** A value as a message shows it. */
export function shown(value: unknown): string {
  if (value === null) return 'nothing'
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'a map' : String(value)
}
