/** Text for people: made safe to print, and figures as design and habit have them. */
import type { ReleaseNumber } from '../core/words.ts'

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
const obeyed = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** JSON on one line, in which nothing is left that a terminal might obey; it is the same document. */
export const inertJson = (document: unknown): string =>
  JSON.stringify(document).replace(obeyed, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** Colours (SGR) go without a word; whatever else a terminal might obey, or that changes the direction of text, is shown as what it is. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  const plain = text.replace(/\u001b\[[0-9;:]*m/g, '').replaceAll('\t', '    ')
  return plain.replace(obeyed, (character) => {
    const code = character.codePointAt(0) ?? 0
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`
  })
}

/** Like {@link printable}, but lines stay lines. */
export const printableLines = (text: string): string => text.split('\n').map(printable).join('\n')

/** `1,204`: by hand, since `toLocaleString` loads what Node knows of all languages first, which takes longer than the rest of a command. */
export const count = (number: number): string => grouped(String(Math.round(number)))

const grouped = (digits: string): string =>
  digits.length > 3 ? `${grouped(digits.slice(0, -3))},${digits.slice(-3)}` : digits

/** `1 connection`, `14 connections` */
export const counted = (number: number, thing: string): string => `${count(number)} ${thing}${number === 1 ? '' : 's'}`

/** How long something took, with the digits that matter: `5 µs`, `12 ms`, `0.6 s`, `30.0 s`. `us`, where it is known, is finer. */
export function elapsed(ms: number, us: number | null = null): string {
  if (us !== null && us < 1000) return `${Math.round(us)} µs`
  return ms < 95 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

/** `:8080, :8443` */
export const portList = (ports: readonly number[]): string => ports.map((port) => `:${port}`).join(', ')

/** A release as somebody writes it on a command line: `v4` or `4`; null if it is none. */
export function releaseNamed(text: string): ReleaseNumber | null {
  const number = Number(/^v?(\d{1,5})$/.exec(text)?.[1])
  return number >= 1 && number <= 65_535 ? number : null
}

/** Rows of cells as lines of aligned columns, two spaces between. `right`: the columns whose text ends at the same place. */
export function columns(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths = new Map<number, number>()
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths.set(index, Math.max(widths.get(index) ?? 0, cell.length))
  }
  const aligned = (cell: string, index: number) => {
    const width = widths.get(index) ?? 0
    return right.includes(index) ? cell.padStart(width) : cell.padEnd(width)
  }
  return rows.map((row) => row.map(aligned).join('  ').trimEnd())
}

/** The text in lines of at most `width` characters, broken between words, and within a word only where that alone is longer. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (longer.length <= width) {
      line = longer
      continue
    }
    if (line !== '') lines.push(line)
    line = word
    for (; line.length > width; line = line.slice(width)) lines.push(line.slice(0, width))
  }
  return [...lines, line]
}

/** A time of day as the clock on the wall here shows it: `2026-03-01 12:00:05`. */
export function localTime(iso: string): string {
  const date = new Date(iso)
  const two = (number: number) => String(number).padStart(2, '0')
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-')
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')}`
}
