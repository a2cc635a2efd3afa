/** The log of a release, as `cutover logs` shows it. */
import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { linesFrom, offsetOfLast } from './log-lines.ts'
import { offsetAt } from './log-times.ts'

export interface LogWish {
  /** At most the last so many of those that are there already; Infinity: all. */
  readonly lines: number
  /** Only what was written then or later, to the second. */
  readonly since?: Date | undefined
  /** Only what comes after that many bytes. */
  readonly from?: number | undefined
  /** Goes on with what is written from now on. */
  readonly follow: boolean
  /** Following ends when this aborts, with what was written by then. */
  readonly until?: AbortSignal
  /** Everything ends at once, and without an error, when this aborts. */
  readonly signal: AbortSignal
}

/** The lines of the log; none if there is no such file. */
export async function* readLog(file: string, wish: LogWish): AsyncGenerator<string> {
  const from = await start(file, wish)
  if (from === null) return
  const until = wish.until === undefined ? wish.signal : AbortSignal.any([wish.signal, wish.until])
  for await (const line of linesFrom(file, from, wish.follow ? until : null)) {
    if (wish.signal.aborted) return
    yield line
  }
}

/** The last lines of a log, for an error message: as much of them as can be read there, 16 KB at most. None if there is no such file. */
export async function lastLines(file: string, lines: number): Promise<string[]> {
  const from = await start(file, { lines })
  if (from === null) return []
  return await Array.fromAsync(linesFrom(file, Math.max(from, lengthOf(file) - readableBytes), null))
}

/** How long the log is: what is written later comes after it. 0 if there is no such file. */
export const lengthOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0

const readableBytes = 16_384

async function start(
  file: string,
  { lines, since, from = 0 }: Pick<LogWish, 'lines' | 'since' | 'from'>,
): Promise<number | null> {
  try {
    await using handle = await open(file, 'r')
    const bySince = since === undefined ? 0 : offsetAt(file, since)
    return Math.max(from, bySince, lines === Number.POSITIVE_INFINITY ? 0 : await offsetOfLast(handle, lines))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
