/** What `cutover init` finds in a folder besides texts. The guess itself: test/core/guess.test.ts, test/system/folders.test.ts. */
import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { cutover } from '../support/cutover.ts'
import { temporaryDirectory } from '../support/workspace.ts'

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

test('a folder with nothing but a compiled program is that program', async (t) => {
  const directory = folderWith(t, { 'README.md': '', 'run.sh': '#!/bin/sh\n' })
  for (const name of ['shop', 'libshop.so.1', 'not-executable']) copyFileSync(process.execPath, join(directory, name))
  chmodSync(join(directory, 'run.sh'), 0o755)
  chmodSync(join(directory, 'not-executable'), 0o644)
  const { run } = parse(readFileSync(await init(directory), 'utf8'))
  assert.equal(run, './shop')
})

test('of a folder that says nothing init asks for the three lines, and writes nothing', async (t) => {
  const directory = folderWith(t, { 'README.md': '' })
  const ran = await cutover(['init', directory], { home: join(directory, 'home') })
  assert.equal(ran.code, 2)
  assert.match(ran.stderr, /app: .*\n.*run: .*\n.*port: /)
  assert.throws(() => readFileSync(join(directory, 'cutover.yaml')))
})
