/** What people see of a deploy that works, of one that fails and of status: at a terminal, and in the log of a job. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { cutover, cutoverAtTerminal } from '../support/cutover.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { screenAfter } from '../support/screen.ts'
import { shopFolder } from '../support/shop.ts'

const skip = asRoot || (spawnSync('script', ['--version']).status === 0 ? false : 'needs script(1) of util-linux')
const slow = { skip, timeout: 300_000 }

/** One line of a step: mark, name, what was seen, and how long it took, whose whole part ends in one column. */
const step = (mark: string, name: string, text: string): RegExp =>
  new RegExp(`^(?=.{51}(\\.\\d s| ms| µs)$) {2}${mark} ${name.padEnd(8)} {2}${text} +[\\d.]+ (s|ms|µs)$`)

function assertLines(lines: readonly string[], expected: readonly RegExp[]): void {
  for (const [index, pattern] of expected.entries()) assert.match(lines[index] ?? '', pattern, lines.join('\n'))
  assert.equal(lines.length, expected.length, lines.join('\n'))
}

const warning = /^ {2}! the app runs as root/

const works = (release: number): readonly RegExp[] => [
  new RegExp(`^shop v${release} · a1b2c3d$`),
  warning,
  step('✓', 'copy', '2 files, 1 KB'),
  step('✓', 'build', 'true'),
  step('✓', 'start', 'pid \\d+ listens on \\[::\\]:8080'),
  step('✓', 'healthy', 'GET / 200, 2 of 2, \\d+ ms'),
  step('✓', 'cutover', release === 1 ? 'v1' : `v${release - 1} → v${release}`),
  new RegExp(
    `^shop v${release} is live on :8080\\.${release === 1 ? '' : ` v${release - 1} stands by: cutover rollback`}$`,
  ),
  /^lost 0 · (\d+ connections? still with v\d+ · )?\d+\.\d s in all$/,
]

const fails = (release: number): readonly RegExp[] => [
  new RegExp(`^shop v${release} · a1b2c3d$`),
  warning,
  step('✓', 'copy', '2 files, 1 KB'),
  step('✓', 'start', 'pid \\d+ listens on \\[::\\]:8080'),
  step('✗', 'healthy', 'GET / answered 500, \\d+ times?'),
  /^ {6}Error: no database$/,
  /^ {6}cutover: worker 1 \(pid \d+\) was ended by SIGTERM$/,
  new RegExp(
    `^shop v${release} did not get healthy within 8s \\(deploy_timeout\\) and never went live: .*Traffic is on v2, as before\\.$`,
  ),
  new RegExp(`^Its whole log: cutover logs shop --release v${release}$`),
]

const status: readonly RegExp[] = [
  /^shop {2}:8080 {2}steer$/,
  /^ {2}v4 {2}failed +\d+ (s|min) +0\/s +0 open +0 MB {2}a1b2c3d$/,
  /^ {6}shop v4 did not get healthy/,
  /^ {2}v2 {2}active +\d+ (s|min) +\d+\/s +\d+ open +\d+ MB {2}a1b2c3d$/,
  /^ {2}v1 {2}standby +\d+ (s|min) +0\/s +\d+ open +\d+ MB {2}a1b2c3d$/,
]

test(
  'a deploy that works, one that never gets healthy, and status, look alike at a terminal and in a log',
  slow,
  async (t) => {
    const node = await startNode(t)
    const at = { home: node.place.home }
    const plain = async (...args: string[]) => {
      const { stdout, stderr } = await cutover(args, at)
      assert.doesNotMatch(stdout + stderr, /[^\P{Cc}\n]/u, 'nothing that a terminal obeys')
      return `${stderr}${stdout}`.split('\n').slice(0, -1)
    }
    const seen = async (...args: string[]) => {
      const { screen } = await cutoverAtTerminal(args, { ...at, columns: 200 })
      const { lines, isCursorShown } = screenAfter(screen, 200)
      assert.equal(isCursorShown, true)
      return lines
    }
    const good = shopFolder(t, { config: "build: 'true'" })
    const server = `
    import { createServer } from 'node:http'
    createServer((_, response) => response.writeHead(500).end()).listen(8080)
    console.log('Error: no database')`
    const bad = shopFolder(t, { config: 'deploy_timeout: 8s', server })
    const deploy = (folder: string) => ['deploy', folder, '--label', 'a1b2c3d']

    assertLines(await plain(...deploy(good)), works(1))
    assertLines(await seen(...deploy(good)), works(2))
    assertLines(await plain(...deploy(bad)), fails(3))
    assertLines(await seen(...deploy(bad)), fails(4))
    await node.settled('shop')
    assertLines(await plain('status'), status)
    assertLines(await seen('status'), status)
  },
)
