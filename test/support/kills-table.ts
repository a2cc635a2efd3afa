/** docs/kills.md: for each operation a table of the points at which the daemon was killed. `npm run kills` writes it, every other run compares. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

export interface Row {
  readonly point: string
  readonly lost: string
  /** What the next daemon says. */
  readonly said: string
}

const page = fileURLToPath(new URL('../../docs/kills.md', import.meta.url))
const head = '| The daemon ends | Lost | The next one says |\n| --- | --- | --- |\n'

/** Fails if the page does not know these points, all of them and no other, or has another text for one. */
export function checkTable(title: string, rows: readonly Row[]): void {
  const text = readFileSync(page, 'utf8')
  const [before, section, after] = split(text, title)
  if (process.env.CUTOVER_KILLS === 'write') {
    writeFileSync(page, `${before}\n${head}${rows.map((row) => `${lineOf(row)}\n`).join('')}${after}`)
    return
  }
  const written = section.split('\n').filter((line) => /^\| (?:before|while) /.test(line))
  // In what order things come that go on side by side differs from run to run.
  assert.deepEqual(
    written.toSorted(),
    rows.map(lineOf).toSorted(),
    `docs/kills.md is stale for ${title}: npm run kills`,
  )
}

const lineOf = ({ point, lost, said }: Row): string => `| ${point} | ${lost} | ${said} |`

/** The page up to the section's heading, the section, and what follows. */
function split(text: string, title: string): [string, string, string] {
  const heading = `## ${title}\n`
  const start = text.indexOf(heading)
  assert.ok(start >= 0, `docs/kills.md has no section "${title}"`)
  const from = start + heading.length
  const next = text.indexOf('\n## ', from)
  const to = next < 0 ? text.length : next
  return [text.slice(0, from), text.slice(from, to), text.slice(to)]
}
