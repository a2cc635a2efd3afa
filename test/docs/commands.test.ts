/** docs/commands.md is what the commands say of themselves. `UPDATE_DOCS=1` writes it anew. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { commands } from '../../src/cli/commands.ts'
import { requireKnown } from './known-command.ts'

const file = fileURLToPath(new URL('../../docs/commands.md', import.meta.url))

const intro = `# Commands

What \`cutover COMMAND --help\` says of each. The app may be left out in a folder with its \`cutover.yaml\`, or where there is one app. Exit codes:
[exit-codes.md](exit-codes.md).
`

/** As on a terminal of 100 columns, whatever this one has. */
function helpOf(command: Command): string {
  command.configureHelp({ helpWidth: 100 })
  const below = command.commands.map((one) => helpOf(one.copyInheritedSettings(command)))
  let text = ''
  command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp()
  return [text.trimEnd(), ...below].join('\n\n')
}

test('docs/commands.md says of each command what its help does', async () => {
  const pages: string[] = []
  for (const [name, { load }] of Object.entries(commands)) {
    const text = helpOf((await load()).command())
    pages.push(`## ${name}\n\n\`\`\`\n${text.replaceAll(/^Usage: (?!cutover )/gm, 'Usage: cutover ')}\n\`\`\`\n`)
  }
  const written = [intro, ...pages].join('\n')
  if (process.env.UPDATE_DOCS) writeFileSync(file, written)
  assert.equal(readFileSync(file, 'utf8'), written)
})

test('every example in it is a command that there is, with options that it has', async () => {
  const examples = readFileSync(file, 'utf8')
    .split('\n')
    // What follows two spaces, or a pipe, is not given to cutover.
    .flatMap((line) => /^ {2}cutover (.+?)(?: {2}| \||$)/.exec(line)?.[1] ?? [])
  assert.ok(examples.length >= 20, `${examples.length} found`)
  for (const words of examples) await requireKnown(words)
})
