/** docs/getting-started.md, as somebody follows it: every block of commands is run, and what the page shows comes. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = readFileSync(join(root, 'docs', 'getting-started.md'), 'utf8')

/** Each block of commands with the lines that the page shows after it, if it shows any. */
const blocks = [...page.matchAll(/```sh\n(.*?)```\n(?:(?!```).)*(?:```\n(.*?)```)?/gs)].map(
  ([, commands = '', shown = '']) => ({ commands, shown: shown.split('\n').filter(Boolean) }),
)

test('whoever follows the page sees what it shows', { skip: asRoot }, async (t) => {
  const node = await startNode(t)
  const place = mkdtempSync(join(tmpdir(), 'cutover-started-'))
  t.after(() => rmSync(place, { recursive: true, force: true }))
  const programs = join(place, 'bin')
  mkdirSync(programs)
  symlinkSync(join(root, 'bin', 'cutover.js'), join(programs, 'cutover'))
  const PATH = [programs, dirname(process.execPath), process.env.PATH].join(delimiter)
  const env = { ...process.env, PATH, CUTOVER_HOME: node.place.home }
  assert.ok(blocks.length >= 7, `${blocks.length} blocks`)
  assert.ok(blocks.filter(({ shown }) => shown.length > 0).length >= 5)

  let folder = place
  for (const { commands, shown } of blocks) {
    await t.test(commands.split('\n')[0] ?? '', async () => {
      const { code, stdout, stderr } = await shell(`set -e\n${commands}\necho "now in $PWD"`, folder, env)
      assert.equal(code, 0, `${commands}\n${stdout}\n${stderr}`)
      folder = /^now in (.*)$/m.exec(stdout)?.[1] ?? folder
      const seen = stdout.split('\n')
      for (const line of shown) assert.ok(seen.includes(line), `"${line}" is not in:\n${stdout}`)
    })
  }
})

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const shell = (script: string, cwd: string, env: NodeJS.ProcessEnv): Promise<Ended> =>
  new Promise((resolve) => {
    execFile('bash', ['-c', script], { cwd, env, timeout: 120_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
    )
  })
