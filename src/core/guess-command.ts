/** Commands as people wrote them for a shell, and as a `cutover.yaml` has them. */
import { splitCommand } from './command-words.ts'

export interface ShellLine {
  readonly words: readonly string[]
  /** What stood before the program as NAME=value; PORT is left out, since Cutover sets it. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * A line that was meant for a shell: split into words where that means the same, else given to `sh -c`, and with `exec` where it is one
 * command, so that the server itself gets the signals.
 */
export function fromShell(line: string): ShellLine {
  const { env, rest } = withoutAssignments(line.trim())
  const split = splitCommand(rest)
  if ('words' in split && split.words.length > 0) return { words: split.words, env }
  const isOneCommand = !/[;&|\n()]/.test(rest)
  return isOneCommand ? { words: ['sh', '-c', `exec ${rest}`], env } : { words: ['sh', '-c', line.trim()], env: {} }
}

/** Several commands of which each needs the one before. */
export const inTurn = (...commands: readonly string[]): readonly string[] =>
  commands.length === 1 ? fromShell(commands[0] ?? '').words : ['sh', '-c', commands.join(' && ')]

/** The words as one text, of which `splitCommand` makes the same words again. */
export const commandText = (words: readonly string[]): string => words.map(quoted).join(' ')

const quoted = (word: string): string =>
  /^[\w./:@%+,=-]+$/.test(word) && !/^\w+=/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`

function withoutAssignments(line: string) {
  const env: Record<string, string> = {}
  let rest = line
  for (;;) {
    const [all, name, value] = /^(?:(?:exec|env|cross-env)\s+|([A-Za-z_]\w*)=([\w./:@,+-]*)\s+)/.exec(rest) ?? []
    if (all === undefined) return { env, rest }
    rest = rest.slice(all.length)
    if (name !== undefined && value !== undefined && !/^(PORT$|CUTOVER_)/.test(name)) env[name] = value
  }
}
