/** All that may be written on a command line, as commander's own objects: to be parsed, and to be completed. */
import { Command, CommanderError } from 'commander'
import { usageError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import { ownVersion } from '../program.ts'
import { commands, commandsForShells, notBuiltYet } from './commands.ts'
import { shown } from './print.ts'
import { printableLines } from './text.ts'

/**
 * Runs the command that is meant.
 * @throws whatever it throws; CutoverError `usage`, which people have seen, if nothing is meant
 */
export async function runCommandLine(args: readonly string[]): Promise<void> {
  const program = await commandLineFor(args)
  try {
    await program.parseAsync(asked(program, args), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // commander has told people already; exitCode 0 is help or the version that somebody asked for.
    if (error.exitCode !== 0) throw shown(usageError(error.message.replace(/^error: /, '')))
  }
}

/** Help about a word that is no command is told like the word itself, with the command that was meant. */
const asked = (program: Command, args: readonly string[]): readonly string[] =>
  args[0] === 'help' && args[1] !== undefined && !isCommand(program, args[1]) ? args.slice(1) : args

const isCommand = (program: Command, word: string): boolean =>
  program
    .createHelp()
    .visibleCommands(program)
    .some((command) => command.name() === word) || program.commands.some((command) => command.name() === word)

/** With every command by name, for help and suggestions, and the one that is meant with all it has. */
export async function commandLineFor(args: readonly string[]): Promise<Command> {
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
  for (const [name, { load }] of Object.entries(commandsForShells)) {
    if (name === meant) program.addCommand(inherit((await load()).command(), program), { hidden: true })
  }
  for (const name of notBuiltYet) program.addCommand(refused(name), { hidden: true })
  return program
}

/** A command made by itself ends the process on wrong usage; ours say so to whoever parses. */
function inherit(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent)
  for (const below of command.commands) inherit(below, command)
  if (command.commands.length > 0) refuseOtherWords(command)
  return command
}

/** Where a command has others below it, a word that is none of them is not one argument too many: who wrote it meant one of them. */
function refuseOtherWords(command: Command): void {
  command.allowExcessArguments().hook('preAction', (_, meant) => {
    const [word] = meant.args
    if (meant !== command || word === undefined) return
    const near = nearest(
      word,
      command.commands.map((below) => below.name()),
    )
    command.error(`error: unknown command '${word}'${near === null ? '' : `\n(Did you mean ${near}?)`}`)
  })
}

const refused = (name: string): Command =>
  new Command(name)
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      throw usageError(`"cutover ${name}" is not built yet. What there is: cutover --help`)
    })
