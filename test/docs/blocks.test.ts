/** Every block of commands in the pages is in the hands of a test. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { blocksOf, commandsOf, pages, root, textOf } from './blocks.ts'

/** Who follows a page (`follow` of blocks.ts). */
const followedBy: Readonly<Record<string, string>> = {
  'README.md': 'readme.test.ts',
  'docs/folders.md': 'scripts.test.ts',
  'docs/getting-started.md': 'getting-started.test.ts',
  'docs/install.md': 'install.test.ts',
  'docs/performance.md': 'scripts.test.ts',
  'docs/servers.md': 'scripts.test.ts',
}

/** Written by commands.test.ts from what the commands say of themselves, examples included, which that test looks at. */
const written = 'docs/commands.md'

test('every page that has commands is followed by a test', () => {
  assert.deepEqual(
    pages.filter((page) => commandsOf(page).length > 0).toSorted(),
    Object.keys(followedBy).toSorted(),
    'a page with commands that no test follows, or a test of a page without any',
  )
  for (const [page, test] of Object.entries(followedBy)) {
    const source = readFileSync(join(root, 'test', 'docs', test), 'utf8')
    assert.match(source, /\bfollow\(\s*t,/, test)
    assert.ok(source.includes(`'${page}'`), `${test} does not follow ${page}`)
  }
})

const command =
  /^\s*(\$ |# )?(sudo )?(cutover|npm|npx|node|git|curl|cp|mv|rm|mkdir|cat|cd|apt-get|systemctl|rsync|ssh|docker) \S/

test('commands stand in blocks that are marked as such, and in no others', () => {
  for (const page of pages) {
    if (page === written) continue
    for (const { line, language, text } of blocksOf(page)) {
      assert.ok(['', 'sh', 'yaml', 'console', 'text'].includes(language), `${page}:${line}: ${language}`)
      if (language !== '' && language !== 'text') continue
      assert.deepEqual(
        text.split('\n').filter((line) => command.test(line)),
        [],
        `${page}:${line}: mark the block with sh`,
      )
    }
  }
})

test('no block is made by leading spaces, where nobody would find it', () => {
  for (const page of pages) {
    const inside = new Set(blocksOf(page).flatMap(({ line, text }) => text.split('\n').map((_, index) => line + index)))
    const indented = textOf(page)
      .split('\n')
      .flatMap((text, index) => (text.startsWith('    ') && !inside.has(index + 1) ? [index + 1] : []))
    assert.deepEqual(indented, [], page)
  }
})
