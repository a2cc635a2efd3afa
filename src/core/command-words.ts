/**
 * A command written as one text, split into words as sh(1) does (POSIX, Shell Command Language, 2.2 Quoting), but without a shell: what only
 * a shell could do is found and refused, so that nobody waits for an expansion that never comes.
 */

export type CommandWords = { readonly words: readonly string[] } | { readonly problem: string }

/** The words of the command, or why it cannot be split. Words are split at blanks; quotes and backslashes mean what they mean to sh. */
export function splitCommand(text: string): CommandWords {
  const words: string[] = []
  let at = 0
  const source = text.replace(/^[ \t\n]+/, '').replace(/\n[ \t\n]*$/, '')
  try {
    for (;;) {
      at = skipBlanks(source, at)
      if (at >= source.length) return { words }
      const word = readWord(source, at, words.length === 0)
      words.push(word.text)
      at = word.end
    }
  } catch (error) {
    if (error instanceof NeedsShell) return { problem: error.message }
    throw error
  }
}

interface Word {
  readonly text: string
  /** The offset behind it. */
  readonly end: number
}

class NeedsShell extends Error {}

const onlyShell = (what: string) =>
  new NeedsShell(`${what} means something to a shell only, and there is none here: quote it, or write sh -c "…"`)

const blanks = ' \t'
const operator = /[|&;<>()]+/y
const assignment = /[A-Za-z_][A-Za-z0-9_]*=/y

function skipBlanks(source: string, from: number): number {
  let at = from
  while (at < source.length && (blanks.includes(source.charAt(at)) || source.startsWith('\\\n', at))) {
    at += source.charAt(at) === '\\' ? 2 : 1
  }
  return at
}

function readWord(source: string, start: number, first: boolean): Word {
  if (source.charAt(start) === '#') throw onlyShell('a comment (#)')
  if (source.charAt(start) === '~') throw onlyShell('~')
  const [variable] = (first && match(assignment, source, start)) || []
  if (variable)
    throw new NeedsShell(`${variable}… before the program is for a shell: put it under env, or write sh -c "…"`)

  let text = ''
  let at = start
  while (at < source.length && !blanks.includes(source.charAt(at))) {
    const part = readPart(source, at)
    text += part.text
    at = part.end
  }
  return { text, end: at }
}

/** One quoted piece, or one character outside of quotes. */
function readPart(source: string, at: number): Word {
  const char = source.charAt(at)
  switch (char) {
    case "'": {
      const end = source.indexOf("'", at + 1)
      if (end < 0) throw new NeedsShell("a ' is never closed")
      return { text: source.slice(at + 1, end), end: end + 1 }
    }
    case '"':
      return readDoubleQuoted(source, at)
    case '\\':
      if (at + 1 >= source.length) throw new NeedsShell('it ends with a \\')
      return { text: source.charAt(at + 1) === '\n' ? '' : source.charAt(at + 1), end: at + 2 }
    case '$':
    case '`':
      throw onlyShell(char)
    case '*':
    case '?':
    case '[':
      throw onlyShell(`the pattern ${char}`)
    case '\n':
      throw onlyShell('a line break between commands')
    default: {
      const [found] = match(operator, source, at) ?? []
      if (found) throw onlyShell(found)
      return { text: char, end: at + 1 }
    }
  }
}

function readDoubleQuoted(source: string, start: number): Word {
  let text = ''
  for (let at = start + 1; at < source.length; at++) {
    const char = source.charAt(at)
    if (char === '"') return { text, end: at + 1 }
    if (char === '$' || char === '`') throw onlyShell(char)
    if (char === '\\' && '$`"\\\n'.includes(source.charAt(at + 1)) && at + 1 < source.length) {
      at++
      text += source.charAt(at) === '\n' ? '' : source.charAt(at)
    } else {
      text += char
    }
  }
  throw new NeedsShell('a " is never closed')
}

function match(pattern: RegExp, source: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(source)
}
