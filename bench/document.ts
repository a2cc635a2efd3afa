/** The part of docs/performance.md that is written by the measurements; everything outside the two marks is written by people. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Measured } from './figures.ts'
import type { Surroundings } from './surroundings.ts'
import { describe } from './surroundings.ts'
import { columns, rowsOf } from './table.ts'

const page = new URL('../docs/performance.md', import.meta.url)
const begin = '<!-- figures: written by npm run bench -- --write -->'
const end = '<!-- end of figures -->'

export function writeFigures(all: readonly Measured[], surroundings: Surroundings): void {
  const text = readFileSync(page, 'utf8')
  const [before, rest] = text.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined) throw new Error('docs/performance.md has lost its marks')
  const parts = [describe(surroundings), ...all.map(section)]
  writeFileSync(page, `${before}${begin}\n\n${parts.join('\n\n')}\n\n${end}${after}`)
}

function section(measured: Measured): string {
  const head = `| ${columns.join(' | ')} |\n|---|${'---:|'.repeat(columns.length - 1)}`
  const rows = rowsOf(measured).map((row) => `| ${row.join(' | ')} |`)
  return `### ${measured.title}\n\n${measured.how}\n\n${[head, ...rows].join('\n')}`
}
