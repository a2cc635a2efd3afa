/** What `cutover init` finds in a folder besides texts, and what it tells editors. The guess itself: test/core/guess.test.ts, test/system/folders.test.ts. */
import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { cutover } from '../support/cutover.ts'
import { checkAsEditor } from '../support/editor.ts'
import { temporaryDirectory } from '../support/workspace.ts'

const schema = fileURLToPath(new URL('../../docs/cutover.schema.json', import.meta.url))

function folderWith(t: TestContext, files: Readonly<Record<string, string>>, name = 'shop'): string {
  const directory = join(temporaryDirectory(t), name)
  mkdirSync(directory)
  for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text)
  return directory
}

async function init(directory: string): Promise<string> {
  const ran = await cutover(['init', directory], { home: join(directory, 'home') })
  assert.equal(ran.code, 0, ran.stderr)
  return join(directory, 'cutover.yaml')
}

const server = { 'server.js': 'server.listen(8080)' }

test('the file tells editors the schema of the Cutover that wrote it', async (t) => {
  const named = checkAsEditor(await init(folderWith(t, server, 'my shop')))
  assert.equal(fileURLToPath(named), schema)
})

test('where Cutover is installed in the folder the schema is told by its path from there, which is right wherever the folder is', async (t) => {
  const directory = folderWith(t, server)
  const installed = join(directory, 'node_modules', 'cutover', 'docs')
  mkdirSync(installed, { recursive: true })
  copyFileSync(schema, join(installed, 'cutover.schema.json'))
  assert.equal(checkAsEditor(await init(directory)), 'node_modules/cutover/docs/cutover.schema.json')
  cpSync(directory, `${directory}-elsewhere`, { recursive: true })
  checkAsEditor(join(`${directory}-elsewhere`, 'cutover.yaml'))
})

test('a folder with nothing but a compiled program is that program', async (t) => {
  const directory = folderWith(t, { 'README.md': '', 'run.sh': '#!/bin/sh\n' })
  for (const name of ['shop', 'libshop.so.1', 'not-executable']) copyFileSync(process.execPath, join(directory, name))
  chmodSync(join(directory, 'run.sh'), 0o755)
  chmodSync(join(directory, 'not-executable'), 0o644)
  const { run } = parse(readFileSync(await init(directory), 'utf8'))
  assert.equal(run, './shop')
})
