/** Cutover's own lines in the log of an app: `cutover: worker 1 (pid 4711) exited with code 1; starts again in 1 s`. */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs'

export const ownLine = (text: string): string => `cutover: ${text}`

/** Appends the line, on a line of its own whatever the app wrote last. A log that cannot be written stops nobody. */
export function noteInLog(file: string, text: string): void {
  try {
    const { O_RDWR, O_APPEND, O_NOFOLLOW } = constants
    const log = openSync(file, O_RDWR | O_APPEND | O_NOFOLLOW)
    try {
      writeSync(log, `${endsInLine(log) ? '' : '\n'}${ownLine(text)}\n`)
    } finally {
      closeSync(log)
    }
  } catch {
    // A full disk or a removed log must not keep a worker from being started again; the event says the same.
  }
}

function endsInLine(log: number): boolean {
  const { size } = fstatSync(log)
  if (size === 0) return true
  const last = Buffer.alloc(1)
  return readSync(log, last, 0, 1, size - 1) === 0 || last[0] === 0x0a
}
