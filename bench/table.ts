/** Figures as lines of text, for people and for a page. */
import type { Figure, Measured, Promised, Unit } from './figures.ts'

export const columns = ['', 'median', '10 % – 90 %', '99 %', 'promised', 'tries'] as const

/** One line a figure, a cell a column. */
export const rowsOf = ({ figures }: Measured): string[][] => figures.map(rowOf)

/** All measurements in one table, for a terminal. */
export function tableOf(all: readonly Measured[]): string {
  const rows = all.flatMap((measured) => [[measured.title], ...rowsOf(measured).map(indented)])
  const table = [[...columns], ...rows]
  const widths = columns.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  const line = (row: string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
  return table.map((row) => line(row).join('  ').trimEnd()).join('\n')
}

const indented = ([what = '', ...rest]: string[]): string[] => [`  ${what}`, ...rest]

function rowOf(figure: Figure): string[] {
  if (figure.kind === 'count') {
    const bound = figure.bound === null ? '' : `below ${perMillion(figure.bound)}`
    return [figure.what, String(figure.seen), bound, '', '0', whole(figure.tries)]
  }
  const { what, unit, series, promised } = figure
  const shown = (value: number) => inUnit(value, unit)
  const single = series.count === 1
  const spread = single ? '' : `${shown(series.low)} – ${shown(series.high)}`
  return [
    what,
    shown(series.median),
    spread,
    series.count < 100 ? '' : shown(series.p99),
    promised === null ? '' : verdict(series.median, promised, shown),
    whole(series.count),
  ]
}

function verdict(median: number, promised: Promised, shown: (value: number) => string): string {
  const atLeast = 'atLeast' in promised
  const limit = atLeast ? promised.atLeast : promised.atMost
  const kept = atLeast ? median >= limit : median <= limit
  return `${kept ? '✓' : '✗'} ${atLeast ? '≥' : '≤'} ${shown(limit)}`
}

const number = new Intl.NumberFormat('en')
const whole = (value: number): string => number.format(Math.round(value))

/** Three digits that count. */
function inUnit(value: number, unit: Unit): string {
  const digits = unit === 'ratio' ? 2 : value >= 100 ? 0 : value >= 10 ? 1 : 2
  const text = unit === '/s' ? whole(value) : value.toFixed(digits)
  return unit === 'ratio' ? text : `${text} ${unit}`
}

const perMillion = (share: number): string =>
  share >= 0.001 ? `${(share * 100).toFixed(1)} %` : `${(share * 1e6).toFixed(0)} in a million`
