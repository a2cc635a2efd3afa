/** The command line: runs the command that is meant, and turns whatever comes of it into an exit code of the contract. */
import { exitCodes } from '../core/errors.ts'
import { endWithReader, explain, leaveWhenPrinted } from './print.ts'
import { quick } from './quick.ts'

/** Runs the command and ends this process with its exit code. */
export async function main(args: readonly string[]): Promise<void> {
  endWithReader()
  // A command that nothing can wake any more has not succeeded.
  const neverEnded = () => {
    process.exitCode = exitCodes.unknown
  }
  process.once('beforeExit', neverEnded)
  try {
    await (quick(args) ?? (() => parsed(args)))()
  } catch (error) {
    process.exitCode = explain(error, args.includes('--json'))
  }
  process.off('beforeExit', neverEnded)
  leaveWhenPrinted()
}

async function parsed(args: readonly string[]): Promise<void> {
  const { runCommandLine } = await import('./command-line.ts')
  await runCommandLine(args)
}
