/** A YAML text as plain values, with the line of each. */
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
} from 'yaml'

export type Path = readonly PropertyKey[]

export interface YamlFile {
  /** What the text says, without the keys that begin with `x-`. */
  readonly value: unknown
  /** The line, counted from 1, on which the value at the path is written, or the nearest one around it. */
  lineOf(path: Path): number
}

export interface YamlProblem {
  readonly line: number
  readonly message: string
}

/**
 * Reads the text; anchors and `<<` are understood. Below the keys in `texts` (and in the lists below them) numbers and words such as `true`
 * stay as they are written: `1.10` is no 1.1 there.
 */
export function readYaml(
  text: string,
  texts: ReadonlySet<string>,
): YamlFile | { readonly problems: readonly YamlProblem[] } {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, merge: true, prettyErrors: false, logLevel: 'error' })
  const lineAt = (offset: number | undefined) => Math.max(1, lines.linePos(offset ?? 0).line)
  if (document.errors.length > 0) {
    return {
      problems: document.errors.map(({ pos: [offset], message }) => ({
        line: lineAt(offset),
        message: sentence(message),
      })),
    }
  }
  keepSpelling(document, texts)
  try {
    const value = withoutPrivate(document.toJS({ maxAliasCount: 100 }))
    return { value, lineOf: (path) => lineAt(offsetOf(document, path)) }
  } catch (error) {
    // An alias without its anchor, or so many of them that the value would be huge.
    return { problems: [{ line: 1, message: sentence(error instanceof Error ? error.message : String(error)) }] }
  }
}

/** Gives plain scalars below the keys the text that they were written with. What an alias leads to belongs to others as well. */
function keepSpelling(document: Document, texts: ReadonlySet<string>): void {
  const spell = (node: unknown): void => {
    if (isScalar(node) && node.source !== undefined && ['number', 'boolean'].includes(typeof node.value)) {
      node.value = node.source
    } else if (isSeq(node)) {
      node.items.forEach(spell)
    } else if (isMap(node)) {
      for (const pair of node.items) spell(pair.value)
    }
  }
  const visit = (node: unknown): void => {
    if (!isMap(node)) return
    for (const pair of node.items) {
      if (texts.has(keyOf(pair))) spell(pair.value)
      else visit(pair.value)
    }
  }
  visit(document.contents)
}

/** The same without keys that begin with `x-`, which are for their writer alone. */
function withoutPrivate(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPrivate)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !key.startsWith('x-'))
      .map(([key, inner]) => [key, withoutPrivate(inner)]),
  )
}

/** Where the path is written: at its key, or at its place in a list. */
function offsetOf(document: Document, path: Path): number | undefined {
  let node: unknown = document.contents
  let offset = isCollection(node) ? node.range?.[0] : undefined
  for (const segment of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair: Pair | undefined = node.items.find((item) => keyOf(item) === String(segment))
      if (!pair) return offset
      offset = startOf(pair.key) ?? offset
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(segment)]
      offset = startOf(node) ?? offset
    } else {
      return offset
    }
  }
  return offset
}

/** A key that is a map or a list itself has no name: no key of a config is one. */
const keyOf = (pair: Pair): string => (isScalar(pair.key) ? String(pair.key.value) : '')

const startOf = (node: unknown): number | undefined => (node as Node | null | undefined)?.range?.[0]

/** The first line of what the parser says, which is all that concerns a reader. */
function sentence(message: string): string {
  if (message.startsWith('Maximum call stack')) return 'nested too deeply'
  return message.split('\n')[0] ?? message
}
