import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { splitCommand } from '../../src/core/command-words.ts'

const wordsOf = (text: string) => {
  const split = splitCommand(text)
  assert.ok('words' in split, `${text}: ${JSON.stringify(split)}`)
  return split.words
}

const problemOf = (text: string) => {
  const split = splitCommand(text)
  assert.ok('problem' in split, `${text}: ${JSON.stringify(split)}`)
  return split.problem
}

/** What a real shell makes of it. */
const wordsOfSh = (text: string) =>
  execFileSync('sh', ['-c', `set -- ${text}\nfor word; do printf '%s\\0' "$word"; done`], { encoding: 'utf8' })
    .split('\0')
    .slice(0, -1)

test('a command is split at blanks, and quotes keep words together', () => {
  assert.deepEqual(wordsOf('node  server.js\t--name "a b" \'c  d\' e\\ f ""'), [
    'node',
    'server.js',
    '--name',
    'a b',
    'c  d',
    'e f',
    '',
  ])
  assert.deepEqual(wordsOf(String.raw`say "cost: \$5 \"now\" \\ \n" '$HOME' \$HOME a#b`), [
    'say',
    String.raw`cost: $5 "now" \ \n`,
    '$HOME',
    '$HOME',
    'a#b',
  ])
  assert.deepEqual(wordsOf(''), [])
})

test('what only a shell could do is refused, and sh -c is named', () => {
  const operators = ['a && b', 'a; b', 'a | b', 'a > b', 'a 2>&1', 'a &', '(a)', 'a\nb']
  const expansions = ['a $HOME', 'a "$HOME"', 'a ${B', "a $'b'", 'a `b`', 'a "`b`"', '~/a', 'a ~/b']
  const patterns = ['a *.js', 'a b?', 'a [bc]']
  for (const command of [...operators, ...expansions, ...patterns, 'a # b', 'B=1 a']) {
    assert.match(problemOf(command), /sh -c "…"/, command)
  }
})

test('a quote that is never closed is no command', () => {
  assert.equal(problemOf('a "b'), 'a " is never closed')
  assert.equal(problemOf("a 'b"), "a ' is never closed")
  assert.equal(problemOf('a b\\'), 'it ends with a \\')
})

test('whatever is not refused is split as sh splits it', () => {
  const plain = ['a', 'B', ' ', '  ', '\t', '=', '-', '!', '{', '}', ',', ':', '%', 'é', '""', "''"]
  const quoting = ['"', "'", '\\', '\\\\', '\\"', "\\'", '\\ ', '\\$', '\\\n']
  const special = ['$', '`', '#', '~', '*', '?', '[', ']', ';', '&', '|', '<', '>', '(', ')', '\n']
  const piece = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...plain) },
    { weight: 4, arbitrary: fc.constantFrom(...quoting) },
    { weight: 1, arbitrary: fc.constantFrom(...special) },
  )
  const texts = fc.array(piece, { maxLength: 12 }).map((all) => all.join(''))
  let compared = 0
  fc.assert(
    fc.property(texts, (text) => {
      const split = splitCommand(text)
      // `set -- x` keeps a first word such as `!` or `{` from being a word of the shell's own language.
      if ('problem' in split || split.words.length === 0) return
      compared++
      assert.deepEqual(split.words, wordsOfSh(text.trimStart()))
    }),
    { numRuns: 800 },
  )
  assert.ok(compared > 150, `only ${compared} were compared`)
})
