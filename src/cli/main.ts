/** The command line: finds the command, loads it alone, and turns whatever comes of it into an exit code of the contract. */
import { Command, CommanderError } from 'commander'
import { usageError } from '../core/errors.ts'
import { ownVersion } from '../program.ts'
import { commands, notBuiltYet } from './commands.ts'
import { endWithReader, explain, shown } from './print.ts'
import { printableLines } from './text.ts'

/** Runs the command and sets the exit code of this process. */
export async function main(args: readonly string[]): Promise<void> {
  endWithReader()
  try {
    const program = await programFor(args)
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    process.exitCode = exitCodeOf(error, args.includes('--json'))
  }
}

/** With every command by name, for help and suggestions, and the one that is meant with all it has. */
async function programFor(args: readonly string[]): Promise<Command> {
  const program = new Command('cutover')
    .description('Put a new version of a server live without losing a request, and take it back in microseconds.')
    .version(ownVersion(), '-V, --version', 'which version this is')
    .helpOption('-h, --help', 'what there is to say about a command')
    .helpCommand('help [command]', 'the same')
    .addHelpText('after', `\nExamples:\n  cutover deploy\n  cutover status\n  cutover rollback`)
    .exitOverride()
    .configureOutput({ writeErr: (text) => process.stderr.write(printableLines(text)) })
  const meant = args[0] === 'help' ? args[1] : args[0]
  for (const [name, { summary, load }] of Object.entries(commands)) {
    if (name === meant) program.addCommand(inherit((await load()).command().summary(summary), program))
    else program.command(name).description(summary).summary(summary)
  }
  for (const name of notBuiltYet) program.addCommand(refused(name), { hidden: true })
  return program
}

/** A command made by itself ends the process on wrong usage; ours say so to {@link main}. */
function inherit(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent)
  for (const below of command.commands) inherit(below, command)
  return command
}

const refused = (name: string): Command =>
  new Command(name)
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      throw usageError(`"cutover ${name}" is not built yet. What there is: cutover --help`)
    })

function exitCodeOf(error: unknown, json: boolean): number {
  if (!(error instanceof CommanderError)) return explain(error, json)
  // commander has told people already; exitCode 0 is help or the version that somebody asked for.
  if (error.exitCode === 0) return 0
  return explain(shown(usageError(error.message.replace(/^error: /, ''))), json)
}
