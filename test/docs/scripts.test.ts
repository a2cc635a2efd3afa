/** The pages whose commands are measurements of minutes: those are not run here. That they are there, and take their options, is looked at. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { asRoot } from '../support/namespace.ts'
import { type Block, follow, linesOf, pages, root, textOf } from './blocks.ts'

const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** As a user with no rights, which they refuse after they have looked at what they were asked: 2 is wrong usage, 3 no root. */
function isTaken(line: string): void {
  const [, script = '', words = ''] = /^npm run (\S+)(?: -- (.*))?$/.exec(line) ?? []
  assert.ok(script in scripts, line)
  const file = /^node (\S+)$/.exec(scripts[script])?.[1] ?? ''
  const { status, stderr } = spawnSync(
    'unshare',
    ['--user', process.execPath, file, ...words.split(' ').filter(Boolean)],
    { cwd: root, encoding: 'utf8', timeout: 60_000 },
  )
  assert.equal(status, 3, `${line}\n${stderr}`)
}

test('an option that there is not is told from one that there is', { skip: asRoot }, () => {
  assert.throws(() => isTaken('npm run bench -- --rounds 0'))
  assert.throws(() => isTaken('npm run servers -- nobody'))
  assert.throws(() => isTaken('npm run nothing'))
})

for (const page of ['docs/performance.md', 'docs/servers.md'])
  test(`the scripts of ${page} take what the page gives them`, { skip: asRoot }, async (t) => {
    const instead = ({ text }: Block) => linesOf(text).forEach(isTaken)
    await follow(t, page, () => ({
      notRun: 'measurements of many minutes, run by hand before a page is written',
      instead,
    }))
  })

test('docs/folders.md is written by the test that reads it', async (t) => {
  await follow(t, 'docs/folders.md', () => ({
    notRun: 'its test runs it, and compares what comes with the page',
    instead: ({ text }) =>
      assert.deepEqual(
        linesOf(text).map((line) => scripts[line.replace('npm run ', '')]),
        ['CUTOVER_FOLDERS=write node test/run.ts test/system/folders.test.ts'],
      ),
  }))
})

test('what writes parts of pages, by its own word there, is a script that takes that', { skip: asRoot }, () => {
  const writers = pages.flatMap((page) => [...textOf(page).matchAll(/<!-- figures: written by (.*) -->/g)])
  assert.ok(writers.length >= 3, `${writers.length} found`)
  for (const [, line = ''] of writers) isTaken(line)
  isTaken('npm run pictures -- --write')
})
