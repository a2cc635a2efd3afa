/** Whatever a config says and whatever the app then does: a deploy goes live, or leaves nothing but its log. Never half of either. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { CutoverError } from '../../src/core/errors.ts'
import { boundedly } from '../fuzz/bounded.ts'
import { ask } from '../support/app.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { assertNothingLeft, goodServer, shopFolder, shopPort } from '../support/shop.ts'

/** Mostly the first one, so that deploys with many keys go live as well. */
const mostly = <T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) })

const servers = fc.oneof(
  { weight: 3, arbitrary: fc.constant(goodServer) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'process.exit(3)',
      'setInterval(() => {}, 1000)',
      goodServer.replace(String(shopPort), '9999'),
      goodServer.replace('response.end(answer())', 'response.writeHead(500).end()'),
      goodServer.replace('createServer(', 'setTimeout(() => process.exit(1), 300); createServer('),
    ),
  },
)

const keys = fc.record(
  {
    workers: fc.integer({ min: 1, max: 3 }),
    build: mostly('true', 'false', 'no-such-program'),
    release: mostly<string | string[]>('true', 'false', ['sh', '-c', 'kill -9 $$']),
    env: fc.dictionary(fc.stringMatching(/^[A-Z]{1,8}$/), fc.string({ maxLength: 20 }), { maxKeys: 3 }),
    health: fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom('auto', { path: '/' }, { tcp: true }, { command: 'true' }) },
      { weight: 1, arbitrary: fc.constantFrom({ path: '/', status: 204 }, { command: 'false', interval: '50ms' }) },
    ),
    warmup: fc.constantFrom([], [{ path: '/', times: 3 }], [{ path: '/nowhere' }]),
    deploy_timeout: fc.constantFrom('2s', '3s'),
    drain_timeout: fc.constantFrom('0s', '1s'),
    stop_signal: fc.constantFrom('TERM', 'KILL', ['QUIT', '10ms', 'TERM'], 'USR1'),
    stop_timeout: fc.constantFrom('0s', '1s'),
    standby: fc.record({ keep: fc.integer({ min: 0, max: 2 }) }),
    hold: fc.constantFrom('0s', '5s'),
    retain: fc.integer({ min: 1, max: 3 }),
    shared: fc.constantFrom([], ['uploads/'], ['server.mjs']),
    ignore: mostly<string[]>([], ['server.mjs'], ['*.log']),
    address: mostly('any', '127.0.0.1', '192.0.2.1'),
  },
  { requiredKeys: ['deploy_timeout', 'stop_timeout'] },
)

test('deploys at random never leave half of anything', { skip: asRoot }, async (t) => {
  const node = await startNode(t)
  const outcomes = { live: 0, failed: 0 }
  const deployed = async (written: Partial<Record<string, unknown>>, server: string): Promise<void> => {
    const { address, ...others } = written
    const ports = [{ port: shopPort, ...(address !== undefined && { address }) }]
    const directory = shopFolder(t, { config: stringify({ ports, ...others }), server })
    const release = await node.deploy(directory).then((receipt) => receipt.release, orFailed)
    outcomes[release === null ? 'failed' : 'live']++
    await assertWhole(node, release)
  }
  // Both kinds, however few more there is time for.
  await deployed({}, goodServer)
  await deployed({}, 'process.exit(3)')
  await boundedly(fc.asyncProperty(keys, servers, deployed), 20)
  await deployed({}, goodServer)
  t.diagnostic(`${outcomes.live} went live, ${outcomes.failed} did not`)
  assert.ok(outcomes.live > 1 && outcomes.failed > 0)
})

function orFailed(error: unknown): null {
  assert.ok(error instanceof CutoverError, String(error))
  assert.ok(error.kind === 'failed' || error.kind === 'usage', error.message)
  return null
}

/** The release that went live answers, if one did; else the one before does. */
async function assertWhole(node: TestNode, live: number | null): Promise<void> {
  const { active, busy, releases } = await node.settled('shop')
  assert.equal(busy, null)
  if (live !== null) assert.equal(active, live)
  const [newest] = releases
  if (live === null && newest?.state === 'failed') assertNothingLeft(node, newest.release)
  assert.deepEqual(
    releases.filter(({ state }) => ['staged', 'starting', 'warming', 'ready'].includes(state)),
    [],
  )
  // One that crashes now and then is back soon, and whoever comes meanwhile waits or is refused, as its hold says.
  for (let tries = 0; ; tries++) {
    const answer = await ask().catch((error: NodeJS.ErrnoException) => error.code)
    if (answer?.startsWith(`v${active} `) || answer === '') return
    assert.ok(tries < 400, `${answer} instead of an answer of v${active}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
