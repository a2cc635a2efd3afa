/** docs/exit-codes.md, row by row: each code is really had, and traffic is where the row says. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { whoAnswers } from '../support/app.ts'
import { cutover, type RunOptions } from '../support/cutover.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { shopFolder } from '../support/shop.ts'

const textOf = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
const codesIn = (text: string) => [...text.matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => Number(code))

test('every exit code is had as its row says, and traffic is where it says', { skip: asRoot }, async (t) => {
  const node = await startNode(t)
  const { home } = node.place
  const shown = new Set<number>()
  /** Runs it, and looks at its code, its message and who answers then. */
  const ends = async (
    args: readonly string[],
    { code, says, active }: { readonly code: number; readonly says: RegExp; readonly active: string },
    options: Partial<RunOptions> = {},
  ) => {
    const ran = await cutover(args, { home, ...options })
    assert.equal(ran.code, code, ran.stderr)
    assert.match(`${ran.stdout}${ran.stderr}`, says)
    assert.equal(await whoAnswers(), active)
    shown.add(code)
  }
  /** Does it as soon as the release is being built. */
  const whileBuilding = (act: (child: ChildProcess) => void) => ({
    meanwhile: (child: ChildProcess) =>
      child.stderr?.on('data', (chunk) => /it builds/.test(String(chunk)) && act(child)),
  })
  const slow = shopFolder(t, { config: `build: [sh, -c, 'echo it builds; exec sleep 60']` })
  const broken = { server: 'console.log("no database"); process.exit(3)' }

  await t.test('0', () => ends(['deploy', shopFolder(t)], { code: 0, says: /shop v1 is live on :8080/, active: 'v1' }))
  await t.test('1', async () => {
    const says = /v2 did not start and never went live.*Traffic is on v1, as before/s
    await ends(['deploy', shopFolder(t, broken)], { code: 1, says, active: 'v1' })
    assert.match((await cutover(['logs', 'shop', '--release', 'v2'], { home })).stdout, /no database/)
  })
  await t.test('2', async () => {
    const wrong = shopFolder(t, { config: 'drain_timout: 5s' })
    await ends(['deploy', wrong], { code: 2, says: /:4: drain_timout: .*did you mean drain_timeout/, active: 'v1' })
    await ends(['rolback'], { code: 2, says: /Did you mean rollback/, active: 'v1' })
  })
  await t.test('3', () =>
    ends(['status'], { code: 3, says: /4711 may not talk to the daemon .* may\.\n$/, active: 'v1' }, { uid: 4711 }),
  )
  await t.test('4', async () => {
    await ends(['rollback', 'shop'], { code: 4, says: /Nothing to roll back to/, active: 'v1' })
    await ends(['remove', 'shpo', '--yes'], {
      code: 4,
      says: /There is no app shpo.*Did you mean shop\?/,
      active: 'v1',
    })
  })
  await t.test('130', () => {
    const says = /was aborted before the cutover and never went live\. Traffic is on v1/
    return ends(
      ['deploy', slow],
      { code: 130, says, active: 'v1' },
      whileBuilding((child) => child.kill('SIGINT')),
    )
  })
  await t.test('6', async () => {
    const kill = whileBuilding(() => void node.killDaemon())
    await ends(
      ['deploy', slow],
      { code: 6, says: /how it ended is not known here.*cutover history/, active: 'v1' },
      kill,
    )
    const { code, stdout } = await cutover(['history'], { home })
    assert.equal(code, 0)
    assert.match(stdout, /v4.*daemon/, 'the next daemon tells what became of it')
  })
  await t.test('5', async () => {
    const alone = 'exclusive: true'
    const { code } = await cutover(['deploy', shopFolder(t, { config: alone })], { home })
    assert.equal(code, 0)
    const active = await whoAnswers()
    const says = new RegExp(`never went live.*Traffic was taken from ${active} for .* and given back to it`, 's')
    await ends(['deploy', shopFolder(t, { config: alone, ...broken })], { code: 5, says, active })
  })

  const codes = [...shown].toSorted((one, other) => one - other)
  for (const page of ['docs/exit-codes.md', 'README.md']) assert.deepEqual(codesIn(textOf(page)), codes, page)
})
