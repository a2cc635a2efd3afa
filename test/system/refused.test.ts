/** What cannot be is refused before anything starts, with the reason and with what to do; nothing is changed by it. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { chmodSync, rmSync, symlinkSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ask, whoAnswers } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import {
  assertFailed,
  assertNothingLeft,
  errorOf,
  lightLoad,
  type Shop,
  shopFolder,
  shopPort,
} from '../support/shop.ts'

/** Another program of this machine: this test. */
async function listenAt(t: TestContext, host: string, port: number): Promise<Server> {
  const server = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nother\n'))
  await new Promise<void>((resolve) => server.listen(port, host, resolve))
  t.after(() => server.close())
  return server
}

/** Nothing happened: no release more, none less, none other. */
async function assertUnchanged(node: TestNode, before: Awaited<ReturnType<TestNode['app']>>): Promise<void> {
  const after = await node.app('shop')
  const gist = ({ active, releases, busy }: typeof after) => ({
    active,
    busy,
    releases: releases.map(({ release, state }) => ({ release, state })),
  })
  assert.deepEqual(gist(after), gist(before))
}

const wrongConfigs: readonly (Shop & { readonly what: string; readonly said: RegExp })[] = [
  { what: 'a key that nobody knows', config: 'heatlh: {tcp: true}', said: /cutover\.yaml:4: .*heatlh.*health/ },
  { what: 'a key that is not built yet', config: 'canary: 10%', said: /cutover\.yaml:4: .*canary.*not built yet/ },
  { what: 'a strategy that is not built yet', config: 'strategy: late-bind', said: /cutover\.yaml:4: .*not built yet/ },
  { what: 'a port out of range', config: 'port: 80800', said: /cutover\.yaml:3: .*65535/ },
  { what: 'a duration without a unit', config: 'deploy_timeout: 30', said: /cutover\.yaml:4: .*duration like/ },
  { what: 'a shell in run', config: 'run: node server.mjs | tee log', said: /cutover\.yaml:3: .*sh -c/ },
  { what: 'no YAML', config: 'health: {tcp: true', said: /cutover\.yaml:\d+/ },
]

test('while clients are served,', { skip: asRoot }, async (t) => {
  const node = await startNode(t)
  chmodSync(node.place.home, 0o755)
  await node.deploy(shopFolder(t))
  await using load = await lightLoad()
  const before = await node.app('shop')

  for (const { what, said, ...shop } of wrongConfigs) {
    await t.test(`a config with ${what} is refused with its line, and nothing is started`, async (t) => {
      const error = await errorOf(node.deploy(shopFolder(t, shop)))
      assert.equal(error.kind, 'usage')
      assert.match([error.message, ...error.details].join('\n'), said)
      await assertUnchanged(node, before)
    })
  }

  await t.test('a port that another app has is refused, naming that app', async (t) => {
    const error = await errorOf(node.deploy(shopFolder(t, { app: 'other' })))
    assert.equal(error.kind, 'usage')
    assert.match([error.message, ...error.details].join('\n'), /cutover\.yaml:3: .*8080 belongs to the app shop/)
    assert.equal((await node.client.status()).apps.length, 1)
  })

  await t.test('a user who does not exist is named, and nothing is started', async (t) => {
    const error = await errorOf(node.deploy(shopFolder(t, { config: 'user: shopkeeper' })))
    assert.equal(error.kind, 'failed')
    assert.match(error.message, /There is no user "shopkeeper" on this machine/)
    await assertUnchanged(node, before)
  })

  await t.test('a folder that is not there is named, and nothing is started', async (t) => {
    const folder = shopFolder(t)
    rmSync(folder, { recursive: true })
    const error = await errorOf(node.deploy(folder))
    assert.equal(error.kind, 'usage')
    assert.match(error.message, new RegExp(folder))
    await assertUnchanged(node, before)
  })

  await t.test('a link that leads out of the folder fails the copy, and what it leads to is not touched', async (t) => {
    const folder = shopFolder(t)
    symlinkSync('/etc/passwd', join(folder, 'accounts'))
    const error = await errorOf(node.deploy(folder))
    assert.equal(error.kind, 'failed')
    assert.match(error.message, /Traffic is on v1, as before\.$/)
    assert.match(error.details.join('\n'), /accounts/)
    await assertFailed(node, { release: 2, active: 1, reason: /accounts/ })
  })

  await t.test('an app whose user may not read its release fails, and its port is free afterwards', async (t) => {
    chmodSync(node.place.home, 0o700)
    t.after(() => chmodSync(node.place.home, 0o755))
    const error = await errorOf(node.deploy(shopFolder(t, { app: 'other', config: 'user: nobody\nport: 8090' })))
    assert.equal(error.kind, 'failed')
    assert.match(error.message, /other v1 .*The user nobody may not read.*Nothing of it is live, as before\./)
    assertNothingLeft(node, 1, 'other')
    await listenAt(t, '0.0.0.0', 8090)
  })

  await t.test('a port that another program has is refused with its name and pid, and it goes on', async (t) => {
    await listenAt(t, '0.0.0.0', 8091)
    const error = await errorOf(node.deploy(shopFolder(t, { app: 'other', config: 'port: 8091' })))
    assert.equal(error.kind, 'refused')
    assert.match(error.message, new RegExp(`Port 8091 is held by \\S+ \\(pid ${process.pid}\\).* on 0\\.0\\.0\\.0\\.`))
    assertNothingLeft(node, 2, 'other')
    assert.equal(await ask('/', 8091), 'other\n')
  })

  await t.test(
    'a program at another address of the port is never touched, an app at its own one is refused',
    async (t) => {
      await listenAt(t, '127.0.0.2', 8092)
      const at = (host: string) => `
      import { createServer } from 'node:http'
      createServer((_, response) => response.end('v1 here\\n')).listen(8092, '${host}')`
      const clash = await errorOf(
        node.deploy(shopFolder(t, { app: 'third', config: 'port: 8092', server: at('127.0.0.2') })),
      )
      assert.match(
        clash.message,
        new RegExp(`exited with code 1; \\S+ \\(pid ${process.pid}\\) listens on 127\\.0\\.0\\.2, port 8092\\.`),
      )

      await node.deploy(shopFolder(t, { app: 'third', config: 'port: 8092', server: at('127.0.0.1') }))
      assert.equal(await whoAnswers(8092), 'v1')
      const other = await fetch('http://127.0.0.2:8092/')
      assert.equal(await other.text(), 'other\n')
      await node.operate('remove', 'third')
    },
  )

  await t.test(
    'a second deploy of the app while one runs is refused, saying who deploys what since when',
    async (t) => {
      const slow = shopFolder(t, { config: `build: sleep 60` })
      const stop = new AbortController()
      const built = Promise.withResolvers<void>()
      const first = errorOf(
        node.deploy(
          slow,
          (progress) => progress.type === 'begin' && progress.step === 'build' && built.resolve(),
          stop.signal,
        ),
      )
      await built.promise
      for (const attempt of [
        () => node.deploy(shopFolder(t)),
        () => node.rollback('shop'),
        () => node.operate('stop', 'shop'),
      ]) {
        const error = await errorOf(attempt())
        assert.equal(error.kind, 'refused')
        assert.match(error.message, /shop is busy: the deploy of v3 by \S+ since \d+ s/)
      }
      assert.match((await node.app('shop')).busy ?? '', /the deploy of v3/)
      stop.abort()
      await first
      assert.equal((await node.app('shop')).busy, null)
    },
  )

  await t.test('commands end with the exit code of the contract, and say last where traffic is', async (t) => {
    const run = (folder: string) => cutover(['deploy', folder], { home: node.place.home })
    const failed = await run(shopFolder(t, { server: 'console.log("no database"); process.exit(3)' }))
    assert.equal(failed.code, 1)
    assert.equal(failed.stdout, '')
    assert.match(
      failed.stderr,
      /✗ start .*exited with code 3.*\n {6}no database\n.*\nshop v4 did not start and never went live: .*Traffic is on v1, as before\.\nIts whole log: cutover logs shop --release v4\n$/s,
    )
    const log = await cutover(['logs', 'shop', '--release', 'v4'], { home: node.place.home })
    assert.match(log.stdout, /^no database$/m)

    const wrong = await run(shopFolder(t, { config: 'heatlh: {tcp: true}' }))
    assert.equal(wrong.code, 2)
    assert.match(wrong.stderr, /cutover\.yaml:4: .*health/)

    const nothing = await cutover(['rollback', 'shop'], { home: node.place.home })
    assert.equal(nothing.code, 4)
    assert.match(nothing.stderr, /Nothing to roll back to/)
  })

  const fates = await load.stop()
  assertNoneLost(fates)
  assert.deepEqual(Object.keys(fates.answered), ['v1'])
  assert.equal(await whoAnswers(shopPort), 'v1')
})
