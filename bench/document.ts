/** The parts of pages in docs/ that are written by measurements; everything outside the two marks is written by people. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Measured } from './figures.ts'
import type { Surroundings } from './surroundings.ts'
import { describe } from './surroundings.ts'
import { columns, rowsOf } from './table.ts'

/** Which command writes which page. */
const pages = {
  bench: 'performance.md',
  servers: 'servers.md',
  'first-minutes': 'getting-started.md',
} as const

export function writeFigures(all: readonly Measured[], surroundings: Surroundings): void {
  writeBetweenMarks('bench', [describe(surroundings), ...all.map(section)].join('\n\n'))
}

/** Puts the text between the marks of the command's page. */
export function writeBetweenMarks(command: keyof typeof pages, text: string): void {
  const begin = `<!-- figures: written by npm run ${command} -- --write -->`
  const end = '<!-- end of figures -->'
  const page = new URL(`../docs/${pages[command]}`, import.meta.url)
  const [before, rest] = readFileSync(page, 'utf8').split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined) throw new Error(`docs/${pages[command]} has lost its marks`)
  writeFileSync(page, `${before}${begin}\n\n${text}\n\n${end}${after}`)
}

function section(measured: Measured): string {
  const head = `| ${columns.join(' | ')} |\n|---|${'---:|'.repeat(columns.length - 1)}`
  const rows = rowsOf(measured).map((row) => `| ${row.join(' | ')} |`)
  return `### ${measured.title}\n\n${measured.how}\n\n${[head, ...rows].join('\n')}`
}
