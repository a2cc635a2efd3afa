/** What may stand where somebody is writing, by what commander knows of the command. */
import type { Argument, Command, Option } from 'commander'

/** What is expected there: one of these words, or what only others know. */
type Kind = 'app' | 'release' | 'folder' | readonly string[]

export interface Expected {
  readonly kind: Kind
  /** What is written of it already. */
  readonly begun: string
  /** What stands before it in the same word: `--to=`, or nothing. */
  readonly before: string
  /** The app that is named before it. */
  readonly app: string | undefined
}

/** What is expected in the place of the last word. `words`: all from behind `cutover` to the cursor, the last one begun or empty. */
export function expectedAt(program: Command, words: readonly string[]): Expected {
  const last = words.at(-1) ?? ''
  const { command, operands, open, onlyOperands } = follow(program, words.slice(0, -1))
  const app = operands[command.registeredArguments.findIndex((argument) => argument.name() === 'APP')]
  const here = { begun: last, before: '', app }
  if (open !== undefined) return { ...here, kind: valueFor(open) }
  if (onlyOperands || !last.startsWith('-')) return { ...here, kind: operandFor(command, operands.length, program) }
  const assigned = last.indexOf('=') + 1
  if (assigned === 0)
    return { ...here, kind: optionsOf(command).flatMap(({ short, long }) => [long, short].filter(isText)) }
  const option = optionNamed(command, last.slice(0, assigned - 1))
  return { kind: option ? valueFor(option) : [], begun: last.slice(assigned), before: last.slice(0, assigned), app }
}

interface Place {
  readonly command: Command
  readonly operands: readonly string[]
  /** The option whose value comes next. */
  readonly open: Option | undefined
  /** Behind `--`, where nothing is an option. */
  readonly onlyOperands: boolean
}

/** Goes along the words to the command that they belong to. */
function follow(program: Command, words: readonly string[]): Place {
  let command = program
  let open: Option | undefined
  let onlyOperands = false
  let operands: string[] = []
  for (const word of words) {
    // bash makes three words of --to=v4.
    if (open !== undefined && word === '=') continue
    const below = operands.length === 0 ? commandBelow(command, word) : undefined
    if (open !== undefined) open = undefined
    else if (onlyOperands) operands.push(word)
    else if (word === '--') onlyOperands = true
    else if (word.startsWith('-')) open = openAfter(command, word)
    else if (below !== undefined) [command, operands] = [below, []]
    else operands.push(word)
  }
  return { command, operands, open, onlyOperands }
}

const openAfter = (command: Command, word: string): Option | undefined => {
  const option = optionNamed(command, word)
  return option?.required ? option : undefined
}

const optionNamed = (command: Command, name: string): Option | undefined =>
  optionsOf(command).find(({ short, long }) => name === long || name === short)

const optionsOf = (command: Command): readonly Option[] => command.createHelp().visibleOptions(command)

const commandsOf = (command: Command): readonly Command[] => command.createHelp().visibleCommands(command)

/** Hidden ones too: what they take is not what the command above takes. */
const commandBelow = (command: Command, name: string): Command | undefined =>
  [...command.commands, ...commandsOf(command)].find((below) => below.name() === name)

/** Help calls it by what it is: `--to <vN>`. */
function valueFor({ flags, argChoices }: Option): Kind {
  return argChoices ?? kindNamed(/<(.+)>/.exec(flags)?.[1])
}

function operandFor(command: Command, index: number, program: Command): Kind {
  const argument: Argument | undefined = command.registeredArguments[index]
  const name = argument?.name()
  if (name === 'command') return commandsOf(program).map((known) => known.name())
  if (index === 0 && command.commands.length > 0) return commandsOf(command).map((below) => below.name())
  return argument?.argChoices ?? kindNamed(name)
}

function kindNamed(name: string | undefined): Kind {
  if (name === 'APP') return 'app'
  if (name === 'vN') return 'release'
  if (name === 'DIR') return 'folder'
  return []
}

const isText = (text: string | undefined): text is string => text !== undefined
