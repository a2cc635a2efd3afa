/** Asking before an outage. */
import { createInterface } from 'node:readline/promises'
import { refusal, usageError } from '../core/errors.ts'
import { printable } from './text.ts'

export interface Question {
  readonly question: string
  /** `--yes` was said. */
  readonly yes: boolean
  /** What to do where there is no terminal to ask at, and nobody said yes. */
  readonly otherwise: 'go on' | 'refuse'
}

/**
 * Returns if it shall be done.
 * @throws CutoverError `refused` if somebody said no; `usage` if nobody can be asked.
 */
export async function confirm({ question, yes, otherwise }: Question): Promise<void> {
  if (yes) return
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    if (otherwise === 'go on') return
    throw usageError('This is an outage, and there is no terminal to ask at. To do it all the same: --yes')
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  terminal.on('SIGINT', () => process.exit(130))
  try {
    const answer = await terminal.question(`${printable(question)} [y/N] `)
    if (!/^y(es)?$/i.test(answer.trim())) throw refusal('Nothing was done.')
  } finally {
    terminal.close()
  }
}
