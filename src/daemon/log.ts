/** The daemon's own log: JSON lines on stdout. */
import { writeSync } from 'node:fs'
import { type Logger, pino } from 'pino'

/** A line that cannot be written (the disk is full, the reader has gone) is lost: nothing waits for it, and nothing ends because of it. */
export const createLog = (): Logger => pino({ timestamp: pino.stdTimeFunctions.isoTime }, { write })

const stdout = 1

function write(line: string): void {
  try {
    const bytes = Buffer.from(line)
    for (let written = 0; written < bytes.length; ) written += writeSync(stdout, bytes, written)
  } catch {
    // There is no other place to tell it.
  }
}
