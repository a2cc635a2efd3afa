/** A Go program that listens over Multipath TCP where it can: it is steered over TCP, and does not notice. esbuild is one. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { whoAnswers } from '../support/app.ts'
import { counterOf } from '../support/kernel-part.ts'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { lightLoad, shopFolder, shopPort } from '../support/shop.ts'
import { eventually } from '../support/workspace.ts'

const esbuild = fileURLToPath(new URL(`../../node_modules/@esbuild/linux-${process.arch}/bin/esbuild`, import.meta.url))
const enabled = '/proc/sys/net/mptcp/enabled'
const skip =
  asRoot ||
  (existsSync(esbuild) ? false : 'needs esbuild') ||
  (existsSync(enabled) ? false : 'this kernel has no MPTCP')

/** Go has MPTCP by default where a program's go.mod asks for 1.24 or later; esbuild's is older. */
const environment = { GODEBUG: 'multipathtcp=1' }
const serve = (port: number) => [esbuild, `--serve=0.0.0.0:${port}`, '--servedir=.']

/** How many MPTCP sockets there are in this network namespace. */
const mptcpSockets = (): number =>
  Number(/^MPTCP\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/net/protocols', 'utf8'))?.[1])

async function opensMptcp(t: TestContext): Promise<boolean> {
  const [program = '', ...args] = serve(9000)
  const child = spawn(program, args, { env: { ...process.env, ...environment }, stdio: ['pipe', 'ignore', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stderr, 'data')
  return await eventually(() => mptcpSockets() > 0)
}

test('a Go program that opens MPTCP is steered over TCP', { skip }, async (t) => {
  writeFileSync(enabled, '1')
  assert.ok(await opensMptcp(t), 'it does not open MPTCP at all')
  t.diagnostic(`esbuild was made with ${readFileSync(esbuild, 'latin1').match(/go1\.\d+\.\d+/)?.[0]}`)
  const node = await startNode(t)
  const folder = shopFolder(t, {
    config: [
      // It ends with its standard input.
      `run: ${JSON.stringify(['sh', '-c', `sleep infinity | ${serve(shopPort).join(' ')}`])}`,
      `env: ${JSON.stringify(environment)}`,
      "build: sh -c 'echo $CUTOVER_RELEASE pid 1 > index.html'",
    ].join('\n'),
  })
  await node.deploy(folder)
  assert.ok(counterOf(node, 'mptcp_refused') > 0)
  await using load = await lightLoad()
  await node.deploy(folder)
  await load.until('the new release answers', ({ answered }) => (answered.v2 ?? 0) > 20)
  await node.rollback('shop')
  assert.equal(await whoAnswers(), 'v1')
  assertNoneLost(await load.stop())
})
