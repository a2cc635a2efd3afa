/**
 * The blocks of the pages, and how a test follows a page: each block of commands, marked `sh`, is run, or it is said why not and what is looked
 * at instead. One that nobody has thought of fails the test of its page; a page that no test follows fails blocks.test.ts.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** README.md and all of docs/, as from the root. */
export const pages: readonly string[] = ['README.md', ...globSync('docs/*.md', { cwd: root }).toSorted()]

export interface Block {
  readonly page: string
  /** Of its first line of text. */
  readonly line: number
  /** What stands after the three backticks; empty for what is only shown. */
  readonly language: string
  readonly text: string
}

export const textOf = (page: string): string => readFileSync(join(root, page), 'utf8')

/** All that stands between backticks, in its order. */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = []
  let open: { readonly line: number; readonly language: string; readonly lines: string[] } | null = null
  for (const [index, text] of textOf(page).split('\n').entries()) {
    const fence = /^```(.*)$/.exec(text)
    if (fence === null) open?.lines.push(text)
    else if (open === null) open = { line: index + 2, language: fence[1] ?? '', lines: [] }
    else {
      blocks.push({ page, line: open.line, language: open.language, text: open.lines.join('\n') })
      open = null
    }
  }
  assert.equal(open, null, `${page}: a block has no end`)
  return blocks
}

export const commandsOf = (page: string): Block[] => blocksOf(page).filter(({ language }) => language === 'sh')

/** What is done about a block of commands. */
export type Way =
  /** It is run, and what it does is looked at. */
  | { readonly run: (block: Block) => unknown }
  /** It is not, for this reason; this is looked at instead. */
  | { readonly notRun: string; readonly instead: (block: Block) => unknown }

/** Goes through the page's blocks of commands from top to bottom, a subtest for each. */
export async function follow(t: TestContext, page: string, wayOf: (block: Block) => Way | undefined): Promise<void> {
  for (const block of commandsOf(page))
    await t.test(`${page}:${block.line}: ${firstLine(block)}`, async (t) => {
      const way = wayOf(block)
      assert.ok(
        way,
        `nothing runs this block:\n${block.text}\nLet ${page}'s test in test/docs run it, or say there why not.`,
      )
      if ('run' in way) return void (await way.run(block))
      t.diagnostic(`not run: ${way.notRun}`)
      await way.instead(block)
    })
}

/** The ways of a page by the first line of each block; every one of them has to be there. */
export function byFirstLine(page: string, ways: Readonly<Record<string, Way>>): (block: Block) => Way | undefined {
  const present = commandsOf(page).map(firstLine)
  for (const line of Object.keys(ways)) assert.ok(present.includes(line), `${page} has no block that begins: ${line}`)
  return (block) => ways[firstLine(block)]
}

/** Without its comment. */
export const firstLine = ({ text }: Block): string => linesOf(text)[0] ?? ''

/** Commands of one line each, without comments. */
export const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.replace(/\s+#.*/, '').trim())
    .filter((line) => line !== '')

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** By bash, as somebody types it. */
export const shell = (script: string, cwd: string, env: NodeJS.ProcessEnv): Promise<Ended> =>
  new Promise((resolve) => {
    execFile('bash', ['-c', script], { cwd, env, timeout: 120_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
    )
  })
