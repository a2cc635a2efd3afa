/** `shop`: a small app for tests that need one that behaves as they say. Its folder, its servers, and what must be true when it failed. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Receipt } from '../../src/core/documents.ts'
import { CutoverError } from '../../src/core/errors.ts'
import { type Load, startLoad } from './load.ts'
import type { TestNode } from './node.ts'

export const shopPort = 8080

export interface Shop {
  /** `shop` if left out. */
  readonly app?: string
  /** Lines of its cutover.yaml besides `app`, and `run` and `port` if it has none of its own. */
  readonly config?: string
  /** Its server.mjs; one that answers as it should if left out. */
  readonly server?: string
  /** More files of its folder. */
  readonly files?: Readonly<Record<string, string>>
}

/** Answers every request with its release. */
export const goodServer = `
import { createServer } from 'node:http'
const answer = () => process.env.CUTOVER_RELEASE + ' pid ' + process.pid + '\\n'
createServer((request, response) => response.end(answer())).listen(${shopPort})
`

/** The same for one that is given its socket. */
export const givenServer = goodServer.replace(
  `listen(${shopPort})`,
  'listen(process.env.LISTEN_PID === String(process.pid) ? { fd: 3 } : { port: 1 })',
)

/** The app's folder, gone when the test ends. */
export function shopFolder(t: TestContext, { app = 'shop', config = '', server = goodServer, files = {} }: Shop = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-shop-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const run = /^run:/m.test(config) ? '' : 'run: node server.mjs\n'
  const port = /^ports?:/m.test(config) ? '' : `port: ${shopPort}\n`
  const all = { 'cutover.yaml': `app: ${app}\n${run}${port}${config}\n`, 'server.mjs': server, ...files }
  for (const [file, text] of Object.entries(all)) writeFileSync(join(directory, file), text)
  return directory
}

/** Clients that go on all the while, few and unhurried: they are there to notice, not to press. */
export const lightLoad = (port = shopPort): Promise<Load> =>
  startLoad({ kind: 'short', port, clients: 3, pauseMs: 15, timeoutMs: 30_000 })

/** The error of an operation that must not succeed. */
export async function errorOf(operation: Promise<Receipt>): Promise<CutoverError> {
  const error = await operation.then(
    ({ release }) => assert.fail(`v${release} went live`),
    (error: unknown) => error,
  )
  assert.ok(error instanceof CutoverError, String(error))
  return error
}

export interface Failed {
  readonly release: number
  readonly outcome?: 'failed' | 'aborted'
  /** The release that is active before and after. */
  readonly active: number
  readonly reason: RegExp
}

/** A failed release: in status and history with its reason; no process, cgroup or file of it is left; the active one is what it was. */
export async function assertFailed(
  node: TestNode,
  { release, active, reason, outcome = 'failed' }: Failed,
): Promise<void> {
  const status = await node.app('shop')
  assert.equal(status.active, active)
  assert.equal(status.busy, null)
  const failed = status.releases.find((one) => one.release === release)
  assert.equal(failed?.state, 'failed')
  assert.match(failed.note ?? '', reason)
  assert.deepEqual(failed.pids, [])
  const entry = (await node.client.history('shop')).findLast((one) => one.release === release)
  assert.equal(entry?.outcome, outcome)
  assert.match(entry.text, reason)
  assertNothingLeft(node, release)
}

/** Of a release that was given up there is only its log. */
export function assertNothingLeft(node: TestNode, release: number, app = 'shop'): void {
  assert.equal(existsSync(join(node.cgroup, `${app}.v${release}`)), false, 'its cgroup is left')
  assert.deepEqual(filesLeft(node, release, app), [], 'files of it are left')
}

/** What there is of its files, and of those kept beside it. */
export function filesLeft({ place }: TestNode, release: number, app = 'shop'): string[] {
  const releases = join(place.home, 'releases', app)
  if (!existsSync(releases)) return []
  return readdirSync(releases).filter((name) => name.startsWith(`v${release}.`) || name === `v${release}`)
}

/** The lines that a release wrote. */
export async function logOf({ client }: TestNode, release: number, app = 'shop'): Promise<string> {
  const lines: string[] = []
  for await (const { line } of client.logs({ app, release, lines: 10_000, follow: false })) lines.push(line)
  return lines.join('\n')
}
