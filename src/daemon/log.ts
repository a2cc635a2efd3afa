/** The daemon's own log: JSON lines on stdout. In the background that is a file, which begins anew when it has become large; the one before is kept. */
import { closeSync, constants, fstatSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { type Logger, pino } from 'pino'
import { redirect } from '../linux/descriptors.ts'

const stdout = 1
const stderr = 2

/** Of the file, and of the one before. */
const mostBytes = 10_000_000
/** What may be written until its length is looked at again. */
const lookBytes = 100_000

/**
 * A line that cannot be written (the disk is full, the reader has gone) is lost: nothing waits for it, and nothing ends because of it.
 * @param file the log of a daemon in the background, which stdout may be or not
 */
export function createLog(file: string): Logger {
  let unseen = lookBytes
  const write = (line: string) => {
    try {
      const bytes = Buffer.from(line)
      unseen += bytes.length
      if (unseen >= lookBytes) {
        unseen = 0
        beginAnew(file)
      }
      for (let written = 0; written < bytes.length; ) written += writeSync(stdout, bytes, written)
    } catch {
      // There is no other place to tell it.
    }
  }
  return pino({ timestamp: pino.stdTimeFunctions.isoTime }, { write })
}

function beginAnew(file: string): void {
  const own = fstatSync(stdout)
  const named = statSync(file, { throwIfNoEntry: false })
  if (own.size < mostBytes || own.ino !== named?.ino || own.dev !== named.dev) return
  const { O_WRONLY, O_APPEND, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants
  // First of all: where there can be no new file the present one stays where it is, and this is tried again.
  const next = openSync(`${file}.new`, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o640)
  renameSync(file, `${file}.old`)
  renameSync(`${file}.new`, file)
  for (const stream of [stdout, stderr]) redirect(stream, next)
  closeSync(next)
}
