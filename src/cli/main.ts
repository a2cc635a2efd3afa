/** The command line: runs the command that is meant, and turns whatever comes of it into an exit code of the contract. */
import { CommanderError } from 'commander'
import { usageError } from '../core/errors.ts'
import { commandLineFor } from './command-line.ts'
import { endWithReader, explain, shown } from './print.ts'

/** Runs the command and sets the exit code of this process. */
export async function main(args: readonly string[]): Promise<void> {
  endWithReader()
  try {
    const program = await commandLineFor(args)
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    process.exitCode = exitCodeOf(error, args.includes('--json'))
  }
}

function exitCodeOf(error: unknown, json: boolean): number {
  if (!(error instanceof CommanderError)) return explain(error, json)
  // commander has told people already; exitCode 0 is help or the version that somebody asked for.
  if (error.exitCode === 0) return 0
  return explain(shown(usageError(error.message.replace(/^error: /, ''))), json)
}
