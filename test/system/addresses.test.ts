/** Where an app is reached, as whoever deploys it has it: where it asked to be, or where its config says; and what is said when that cannot be. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { type App, startApp } from '../steer/fixtures.ts'
import { outer4, outer6, outside } from '../steer/outside.ts'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { assertNothingLeft, errorOf, goodServer, lightLoad, shopFolder } from '../support/shop.ts'

const skip = asRoot || needs('python3', 'iproute2')
const port = 8080

const serverAt = (host: string) => goodServer.replace(`listen(${port})`, `listen(${port}, '${host}')`)
const declaring = (address: string) => `ports: [{port: ${port}, address: "${address}"}]`

const errorOr = (told: Promise<unknown>): Promise<string> =>
  told.then(String, (error: unknown) => (error instanceof Error ? error.message : String(error)))

test('an app is reached where it asked to be, or where its config says, and the receipt says what cannot be', {
  skip,
}, async (t) => {
  const client = await outside(t)
  const here = await startApp(t, null, 'here')
  const from = (who: App, host: string) => errorOr(who.run(`get('${host}', ${port})`))
  const node = await startNode(t)

  await t.test('an app on 127.0.0.1 stays there', async (t) => {
    const { warnings, steps } = await node.deploy(shopFolder(t, { server: serverAt('127.0.0.1') }))
    assert.equal(await from(here, '127.0.0.1'), 'v1')
    assert.equal(await from(client, outer4), 'ECONNREFUSED')
    assert.deepEqual(
      warnings.filter((text) => !text.includes('root')),
      [],
    )
    assert.match(steps.find(({ step }) => step === 'start')?.text ?? '', /listens on 127\.0\.0\.1:8080$/)
  })

  await t.test('`address: any` makes it public, over the family that it speaks', async (t) => {
    await using load = await lightLoad()
    const folder = shopFolder(t, { server: serverAt('127.0.0.1'), config: declaring('any') })
    const { warnings, steps } = await node.deploy(folder)
    assert.match(
      steps.find(({ step }) => step === 'start')?.text ?? '',
      /listens on 127\.0\.0\.1:8080, reached at \[::\]:8080$/,
    )
    assert.ok(
      warnings.includes('[::]:8080 cannot be served over IPv6: it listens on 127.0.0.1:8080, which takes IPv4 only'),
      warnings.join('\n'),
    )
    assert.equal(await from(client, outer4), 'v2')
    assert.equal(await from(client, outer6), 'ECONNREFUSED')
    assert.deepEqual((await node.app('shop')).ports[0]?.addresses, ['::'])
    await node.rollback('shop')
    assert.equal(await from(client, outer4), 'ECONNREFUSED', 'the former release never asked for it')
    assertNoneLost(await load.stop())
  })

  await t.test(
    '`address: 127.0.0.1` makes an app on 0.0.0.0 private, and an outer address narrows it too',
    async (t) => {
      await node.deploy(shopFolder(t, { server: serverAt('0.0.0.0'), config: declaring('127.0.0.1') }))
      assert.equal(await from(here, '127.0.0.1'), 'v3')
      assert.equal(await from(client, outer4), 'ECONNREFUSED')
      await node.deploy(shopFolder(t, { server: serverAt('0.0.0.0'), config: declaring(outer4) }))
      assert.equal(await from(here, '127.0.0.1'), 'ECONNREFUSED')
      assert.equal(await from(client, outer4), 'v4')
    },
  )

  await t.test('an address that nobody could be served at fails the deploy, and traffic stays', async (t) => {
    const folder = shopFolder(t, { server: serverAt('0.0.0.0'), config: declaring('::1') })
    const error = await errorOf(node.deploy(folder))
    assert.match(error.message, /\[::1\]:8080 cannot be served: it listens on 0\.0\.0\.0:8080, which takes IPv4 only/)
    assert.match(error.message, /Traffic is on v4, as before/)
    assertNothingLeft(node, 5)
    const elsewhere = await errorOf(node.deploy(shopFolder(t, { config: declaring('10.99.0.1') })))
    assert.match(elsewhere.message, /10\.99\.0\.1.*not an address of this machine/)
    assertNothingLeft(node, 6)
    assert.equal(await from(client, outer4), 'v4')
  })

  await t.test('a program that listens within the declared address is named, and is not touched', async (t) => {
    await node.operate('remove', 'shop')
    const server = createServer((socket) => socket.end('mine'))
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.9', resolve))
    t.after(() => server.close())
    assert.equal(await here.run(`ask('127.0.0.9', ${port})`), 'mine')
    const error = await errorOf(node.deploy(shopFolder(t, { server: serverAt('127.0.0.1'), config: declaring('any') })))
    assert.equal(error.kind, 'refused')
    assert.match(
      error.message,
      new RegExp(`Port 8080 is held by \\S+ \\(pid ${process.pid}\\).* on 127\\.0\\.0\\.9\\.`),
    )
    assert.equal(await here.run(`ask('127.0.0.9', ${port})`), 'mine')
    await node.deploy(shopFolder(t, { server: serverAt('127.0.0.1') }))
    assert.equal(await here.run(`ask('127.0.0.9', ${port})`), 'mine', 'beside a release')
  })
})

test('from 0.0.0.0 to :: and back nothing is lost under load, and the receipt says whose queue could not move', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  const here = await startApp(t, null, 'here')
  const over6 = () => errorOr(here.run(`get('::1', ${port})`))
  const folders = ['0.0.0.0', '::'].map((host) => shopFolder(t, { server: serverAt(host) }))
  await node.deploy(folders[0] ?? '')
  await using load = await lightLoad()
  for (let release = 2; release <= 7; release++) {
    const { warnings } = await node.deploy(folders[(release + 1) % 2] ?? '')
    const [left] = release % 2 === 0 ? ['0\\.0\\.0\\.0'] : ['\\[::\\]']
    assert.match(
      warnings.join('\n'),
      new RegExp(`wait in the queue of v${release - 1} at ${left}:8080 could not move to v${release}`),
    )
    await load.until('it answers', ({ answered }) => (answered[`v${release}`] ?? 0) > 0)
    assert.equal(await over6(), release % 2 === 0 ? `v${release}` : 'ECONNREFUSED', 'over IPv6')
  }
  const { warnings } = await node.deploy(folders[0] ?? '')
  assert.doesNotMatch(warnings.join('\n'), /could not move/)
  const back = await node.rollback('shop', { to: 6 })
  assert.match(back.warnings.join('\n'), /queue of v8 at 0\.0\.0\.0:8080 could not move to v6/)
  assertNoneLost(await load.stop())
})

test('an app on a link-local address is reached over that interface, over a deploy and back', { skip }, async (t) => {
  const client = await outside(t)
  const address = (own: string, device: string) => ['ip', 'address', 'add', `${own}/64`, 'dev', device, 'nodad']
  execFileSync('nsenter', ['-t', `${client.pid}`, '-n', ...address('fe80::78', 'vb')])
  execFileSync('ip', address('fe80::77', 'va').slice(1))
  const node = await startNode(t)
  const folder = shopFolder(t, { server: serverAt('fe80::77%va') })
  const from = () => errorOr(client.run(`get('fe80::77%vb', ${port})`))
  await node.deploy(folder)
  assert.equal(await from(), 'v1')
  await node.deploy(folder)
  assert.equal(await from(), 'v2')
  await node.rollback('shop')
  assert.equal(await from(), 'v1')
  assert.equal(await errorOr(client.run(`get('${outer6}', ${port})`)), 'ECONNREFUSED')
})
