import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { eventually } from '../support/workspace.ts'
import { app, ask, type Puppet, rig, startPuppet } from './rig.ts'

const skip = asRoot || needs('python3', 'iproute2')

/** The address of this namespace on its link to the second one. */
const outer4 = '10.77.0.1'
const outer6 = 'fd77::1'
const device = 'cutover-a'

interface Bind {
  readonly what: string
  readonly v1: Readonly<Record<string, unknown>>
  readonly v2?: Readonly<Record<string, unknown>>
  /** Somebody else, who listens here on the same port. */
  readonly foreign?: Readonly<Record<string, unknown>>
  /** By way in: which of v1's letters are answered, `-` refused, `f` by the foreign one. In the order of `ways`. */
  readonly reached: string
  readonly afterwards?: string
}

/** 127.0.0.1, the own outer IPv4 address, the same from outside, then ::1 and the outer IPv6 address likewise. */
const ways = ['127.0.0.1', outer4, `${outer4} from outside`, '::1', outer6, `${outer6} from outside`]

const binds: readonly Bind[] = [
  { what: '127.0.0.1', v1: { address: '127.0.0.1' }, reached: 'v-----' },
  { what: '0.0.0.0', v1: { address: '0.0.0.0' }, reached: 'vvv---' },
  { what: '::', v1: { family: 'ipv6', address: '::' }, reached: 'vvvvvv' },
  { what: ':: for IPv6 only', v1: { family: 'ipv6', address: '::', v6only: 1 }, reached: '---vvv' },
  { what: '::ffff:127.0.0.1', v1: { family: 'ipv6', address: '::ffff:127.0.0.1' }, reached: 'v-----' },
  { what: '::1', v1: { family: 'ipv6', address: '::1' }, reached: '---v--' },
  { what: 'one outer address', v1: { address: outer4 }, reached: '-vv---' },
  { what: 'one interface', v1: { address: '0.0.0.0', device }, reached: '-vv---' },
  {
    what: 'v1 everywhere, v2 on 127.0.0.1',
    v1: { address: '0.0.0.0' },
    v2: { address: '127.0.0.1' },
    reached: 'vvv---',
    afterwards: 'v-----',
  },
  {
    what: '127.0.0.1 beside a stranger on the outer address',
    v1: { address: '127.0.0.1' },
    foreign: { address: outer4 },
    reached: 'vff---',
  },
  {
    what: ':: for IPv6 only beside a stranger on 0.0.0.0',
    v1: { family: 'ipv6', address: '::', v6only: 1 },
    foreign: { address: '0.0.0.0' },
    reached: 'fffvvv',
  },
]

test('a release is reachable exactly where it asked to be, from here and from another machine', { skip }, async (t) => {
  const outside = await secondNamespace(t)
  const portAt = (index: number) => 9090 + index
  const r = rig(
    t,
    binds.map((_, index) => portAt(index)),
  )
  const [v1, v2, foreign] = await Promise.all([r.puppet(1), r.puppet(2), r.puppet(0)])
  for (const [index, bind] of binds.entries()) {
    if (bind.foreign) assert.equal(await foreign.listens('f', portAt(index), bind.foreign), 'ok', bind.what)
    assert.equal(await v1.listens('v1', portAt(index), bind.v1), 'ok', bind.what)
  }

  const seen = async (index: number, version: string): Promise<string> => {
    const port = portAt(index)
    const fates = [
      await ask(port),
      await ask(port, outer4),
      await outside.do('ask', { family: 'ipv4', address: outer4, port }),
      await ask(port, '::1'),
      await ask(port, outer6),
      await outside.do('ask', { family: 'ipv6', address: outer6, port }),
    ]
    return fates.map((fate) => (fate === version ? 'v' : fate === 'ECONNREFUSED' ? '-' : fate)).join('')
  }
  const look = async (version: string, expected: (bind: Bind) => string) => {
    for (const [index, bind] of binds.entries()) {
      assert.equal(await seen(index, version), expected(bind), `${bind.what}, ${version}: ${ways.join(', ')}`)
    }
  }
  r.steering.switchTo(app, 1, { hold: false })
  await look('v1', ({ reached }) => reached)

  for (const [index, bind] of binds.entries())
    assert.equal(await v2.listens('v2', portAt(index), bind.v2 ?? bind.v1), 'ok', bind.what)
  await look('v1', ({ reached }) => reached)
  r.steering.switchTo(app, 2, { hold: false })
  await look('v2', ({ reached, afterwards = reached }) => afterwards)
  r.steering.park(app)
  await look('v2', ({ reached, afterwards = reached }) => afterwards)
})

test('a port that only dark releases listen on is refused, at once and over both families', { skip }, async (t) => {
  const r = rig(t, [8080])
  const puppet = await r.puppet(1)
  await puppet.listens('v1', 8080, { family: 'ipv6', address: '::' })
  assert.equal(await ask(8080), 'ECONNREFUSED')
  assert.equal(await ask(8080, '::1'), 'ECONNREFUSED')
  r.steering.park(app)
  assert.equal(await ask(8080), 'ECONNREFUSED')
  assert.equal(await ask(8080, '::1'), 'ECONNREFUSED')
  r.steering.switchTo(app, 1, { hold: false })
  assert.equal(await ask(8080), 'v1')
  assert.equal(await ask(8080, '::1'), 'v1')
})

/** A puppet on the other end of a link, in a network namespace of its own. */
async function secondNamespace(t: TestContext): Promise<Puppet> {
  const keeper = spawn('unshare', ['--net', 'sleep', '600'], { stdio: 'ignore' })
  t.after(() => keeper.kill('SIGKILL'))
  const own = readlinkSync('/proc/self/ns/net')
  await eventually(() => readlinkSync(`/proc/${keeper.pid}/ns/net`) !== own)
  const inside = ['nsenter', '--target', String(keeper.pid), '--net', '--']
  const run = (...command: string[]) => execFileSync(command[0] ?? '', command.slice(1), { stdio: 'inherit' })
  run('ip', 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'cutover-b')
  run('ip', 'link', 'set', 'cutover-b', 'netns', String(keeper.pid))
  run('ip', 'address', 'add', `${outer4}/24`, 'dev', device)
  run('ip', 'address', 'add', `${outer6}/64`, 'dev', device, 'nodad')
  run('ip', 'link', 'set', device, 'up')
  run(...inside, 'ip', 'address', 'add', '10.77.0.2/24', 'dev', 'cutover-b')
  run(...inside, 'ip', 'address', 'add', 'fd77::2/64', 'dev', 'cutover-b', 'nodad')
  run(...inside, 'ip', 'link', 'set', 'cutover-b', 'up')
  const puppet = await startPuppet(t, inside)
  await eventuallyReachable(puppet)
  return puppet
}

/** Until both ends of the link see each other, a packet meets nothing. */
async function eventuallyReachable(puppet: Puppet): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const fates = [
      await puppet.do('ask', { family: 'ipv4', address: outer4, port: 1, timeout: 0.2 }),
      await puppet.do('ask', { family: 'ipv6', address: outer6, port: 1, timeout: 0.2 }),
    ]
    if (fates.every((fate) => fate === 'ECONNREFUSED')) return
  }
  throw new Error('the link between the namespaces does not come up')
}
