/** docs/getting-started.md, as somebody follows it: every block of commands is run, and what the page shows comes. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { type Block, blocksOf, follow, root, shell } from './blocks.ts'

const page = 'docs/getting-started.md'

/** The lines that the page shows after a block of commands, if it shows any. */
const shown = new Map<number, readonly string[]>()
for (const [index, { line, language }] of blocksOf(page).entries()) {
  const next = blocksOf(page)[index + 1]
  if (language === 'sh') shown.set(line, next?.language === '' ? next.text.split('\n').filter(Boolean) : [])
}

test('whoever follows the page sees what it shows', { skip: asRoot }, async (t) => {
  const node = await startNode(t)
  const place = mkdtempSync(join(tmpdir(), 'cutover-started-'))
  t.after(() => rmSync(place, { recursive: true, force: true }))
  const programs = join(place, 'bin')
  mkdirSync(programs)
  symlinkSync(join(root, 'bin', 'cutover.js'), join(programs, 'cutover'))
  const PATH = [programs, dirname(process.execPath), process.env.PATH].join(delimiter)
  const env = { ...process.env, PATH, CUTOVER_HOME: node.place.home }
  assert.ok(shown.size >= 7, `${shown.size} blocks`)
  assert.ok([...shown.values()].filter((lines) => lines.length > 0).length >= 5)

  let folder = place
  const run = async ({ line, text }: Block) => {
    const { code, stdout, stderr } = await shell(`set -e\n${text}\necho "now in $PWD"`, folder, env)
    assert.equal(code, 0, `${text}\n${stdout}\n${stderr}`)
    folder = /^now in (.*)$/m.exec(stdout)?.[1] ?? folder
    const seen = stdout.split('\n')
    for (const wanted of shown.get(line) ?? []) assert.ok(seen.includes(wanted), `"${wanted}" is not in:\n${stdout}`)
  }
  await follow(t, page, () => ({ run }))
})
