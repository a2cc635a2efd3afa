/** docs/folders.md: what was seen of each folder, a row in each of two tables. `npm run folders` writes it, every other run compares all of it but the counts. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { type FolderName, folderNames, folderOf } from './folders.ts'

export interface Seen {
  readonly name: FolderName
  /** The keys of the config that `init` wrote. */
  readonly config: Readonly<Record<string, unknown>>
  /** The release that was live after each deploy and rollback. */
  readonly live: readonly string[]
  readonly answered: number
  readonly lost: number
}

const page = fileURLToPath(new URL('../../docs/folders.md', import.meta.url))
const begin = '<!-- seen: written by npm run folders -->\n\n'
const end = '\n\n<!-- end -->'

const heads = [
  ['folder', 'live after deploy, deploy, rollback', 'answered', 'lost', 'what one has to say, or know'],
  ['folder', '`run`', '`port`', '`build`', 'and'],
] as const

/** Fails if the page says something else of the folder. */
export function checkRows(seen: Seen): void {
  const rows = [rowOf(outcome(seen)), rowOf(guessed(seen))]
  if (process.env.CUTOVER_FOLDERS === 'write') put(seen.name, rows)
  const written = parts().tables.map((table) => rowIn(table, seen.name))
  assert.deepEqual(written.map(withoutCounts), rows.map(withoutCounts), 'docs/folders.md is stale: npm run folders')
}

/** Fails unless the page is of these folders and no other. */
export function checkTitles(): void {
  const titles = parts().tables.map((table) => table.slice(2).map((row) => row.split(' | ')[0]))
  const wanted = folderNames.map((name) => `| ${folderOf(name).title}`)
  assert.deepEqual(titles, [wanted, wanted], 'docs/folders.md is stale: npm run folders')
}

const outcome = ({ name, live, answered, lost }: Seen): readonly string[] => [
  folderOf(name).title,
  live.join(', '),
  String(answered),
  String(lost),
  folderOf(name).note || 'nothing',
]

function guessed({ name, config }: Seen): readonly string[] {
  const { app: _, run, port, build, ...others } = config
  const more = Object.entries(others).map(([key, value]) => code(`${key}: ${JSON.stringify(value)}`))
  return [folderOf(name).title, code(run), code(port), build === undefined ? '' : code(build), more.join(' ')]
}

/** The page before the tables, the lines of each table, and the page after them. */
function parts() {
  const [before, rest] = readFileSync(page, 'utf8').split(begin)
  const [written, after] = rest?.split(end) ?? []
  assert.ok(before !== undefined && written !== undefined && after !== undefined, 'docs/folders.md has lost its marks')
  const tables = written.split('\n\n').map((table) => table.split('\n'))
  return { before, tables: heads.map((_, index) => tables[index] ?? []), after }
}

/** Writes the folder's rows, in the order of the folders; those of others stay as they are. */
function put(name: FolderName, rows: readonly string[]): void {
  const { before, tables, after } = parts()
  const anew = heads.map((head, index) => {
    const others = folderNames.map((other) => (other === name ? rows[index] : rowIn(tables[index] ?? [], other)))
    return [rowOf(head), rowOf(head.map(() => '---')), ...others.filter((row) => row !== undefined)].join('\n')
  })
  writeFileSync(page, `${before}${begin}${anew.join('\n\n')}${end}${after}`)
}

const rowIn = (table: readonly string[], name: FolderName): string | undefined =>
  table.find((row) => row.startsWith(`| ${folderOf(name).title} |`))

const rowOf = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`

const code = (value: unknown): string => `\`${String(value).replaceAll('|', '\\|')}\``

/** How much is answered differs from run to run. */
const withoutCounts = (row: string | undefined): string | undefined => row?.replace(/ \d+ \| (\d+) \| /, ' … | $1 | ')
