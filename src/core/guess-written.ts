/** A guess as the `cutover.yaml` that is written, and as what is said about it. */
import { stringify } from 'yaml'
import type { Guess } from './guess.ts'
import { commandText } from './guess-command.ts'
import type { Guessed } from './guess-folder.ts'

export interface GuessedKey {
  readonly key: string
  /** As the config has it. */
  readonly value: unknown
  readonly from: string
}

/** The keys that were guessed, in the order of the documentation. */
export function guessedKeys({ app, start, envFile, shared }: Guess): readonly GuessedKey[] {
  const { run, port, build, health, env, ignore } = start
  return [
    ...key('app', app),
    ...key('run', run, commandText),
    ...key('port', port),
    ...key('build', build, commandText),
    ...key('shared', shared),
    ...key('env', env),
    ...key('env_file', envFile),
    ...key('health', health, (path) => ({ path })),
    ...key('ignore', ignore),
  ]
}

/**
 * The text of the file: each key below what it was guessed from, then what an app of this kind often wants.
 * @param schema - where an editor finds the JSON Schema: an address, or a path from the file; without white space
 */
export function guessedConfig(guess: Guess, schema: string): string {
  const keys = guessedKeys(guess).map(
    ({ key, value, from }) => `# ${inComment(from)}\n${stringify({ [key]: value }, style)}`,
  )
  const hints = [...(guess.start.hints ?? []), ...always].map((hint) => `# ${inComment(hint)}\n`)
  return [
    `# yaml-language-server: $schema=${schema}\n`,
    `# How Cutover runs this app: ${inComment(guess.start.what)}.\n`,
    '# "cutover init" guessed it, each key from what stands above it; change what is wrong.\n',
    '# "cutover validate" checks it, "cutover config" shows all keys with their defaults.\n\n',
    keys.join('\n'),
    '\n# More that may be of use:\n',
    ...hints,
  ].join('')
}

const always: readonly string[] = [
  'workers: max   # a process for each core',
  'warmup: [{path: /, times: 10}]   # requests before it gets traffic',
]

/** Each key on lines of its own, never folded: a command stays one that can be copied. */
const style = { lineWidth: 0 }

const key = <Value>(
  name: string,
  found: Guessed<Value> | null | undefined,
  written: (value: Value) => unknown = (value) => value,
): readonly GuessedKey[] => (found ? [{ key: name, value: written(found.value), from: found.from }] : [])

/** One line, whatever the files that it comes from hold: a line break, or what ends one for YAML, would end the comment. */
const inComment = (text: string): string => text.replace(/[\p{C}\u2028\u2029]/gu, ' ')
