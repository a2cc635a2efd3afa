/** Is what a page gives as a command one that there is? */
import assert from 'node:assert/strict'
import type { Command } from 'commander'
import { commands } from '../../src/cli/commands.ts'

/** Fails unless the words after `cutover` name a command, with options that it has and no more arguments than it takes. */
export async function requireKnown(words: string): Promise<void> {
  const [command, args] = await commandOf(words.split(' '))
  const { operands, unknown } = command.exitOverride().parseOptions([...args])
  assert.deepEqual(unknown, [], `cutover ${words}`)
  assert.ok(operands.length <= command.registeredArguments.length, `cutover ${words}`)
}

/** The command that the words name, with those below it (`daemon stop`), and what is left of them. */
async function commandOf([name = '', ...words]: readonly string[]): Promise<readonly [Command, readonly string[]]> {
  const loaded = await commands[name]?.load()
  assert.ok(loaded, `"cutover ${name}" is no command`)
  return lowest(loaded.command(), words)
}

function lowest(command: Command, words: readonly string[]): readonly [Command, readonly string[]] {
  const below = command.commands.find((one) => one.name() === words[0])
  return below === undefined ? [command, words] : lowest(below, words.slice(1))
}
