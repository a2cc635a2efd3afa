/** The fates of several loads, for people. */
import Table from 'cli-table3'
import { answeredIn, type Fates, lostIn } from './load-fates.ts'

const columns = ['', 'requests', 'answered by', 'lost', 'refused', 'reset', 'cut', 'wrong', 'timed out', 'longest wait']

/** One line a load, named by its key. */
export function fatesTable(loads: Readonly<Record<string, Fates>>): string {
  const table = new Table({
    head: columns,
    chars: Object.fromEntries(borders.map((border) => [border, ''])),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    colAligns: ['left', 'right', 'left', ...columns.slice(3).map(() => 'right' as const)],
  })
  for (const [name, fates] of Object.entries(loads)) table.push(row(name, fates))
  return table.toString()
}

const borders = [
  ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
  ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
]

const number = new Intl.NumberFormat('en')

function row(name: string, fates: Fates): string[] {
  const by = Object.entries(fates.answered)
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
    .map(([release, count]) => `${release} ${number.format(count)}`)
  const shown = by.length > 4 ? [`${by.length} releases ${number.format(answeredIn(fates))}`] : by
  const { refused, reset, cut, wrong, timedOut } = fates
  return [
    name,
    number.format(fates.begun),
    shown.join(', '),
    ...[lostIn(fates), refused, reset, cut, wrong, timedOut].map((count) => number.format(count)),
    `${fates.longestMs.toFixed(1)} ms`,
  ]
}
