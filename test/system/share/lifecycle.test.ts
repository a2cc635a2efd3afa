/** What an ordinary user does with an app, from its first deploy to its end, without any privilege. */
import '../../support/ordinary.ts'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { dumpTcp } from '../../../src/linux/sock-diag.ts'
import { ask, whoAnswers } from '../../support/app.ts'
import { cutover } from '../../support/cutover.ts'
import { assertNoneLost } from '../../support/load.ts'
import { startNode } from '../../support/node.ts'
import { assertFailed, errorOf, givenServer, lightLoad, shopFolder, shopPort } from '../../support/shop.ts'
import { eventually } from '../../support/workspace.ts'

test('deploy, deploy, rollback, stop, start, remove', async (t) => {
  const node = await startNode(t)
  const folder = shopFolder(t, { server: givenServer, config: 'workers: 2' })
  const first = await node.deploy(folder)
  assert.equal(first.strategy, 'share')
  assert.deepEqual([first.accepted, first.lost], [{ v1: null }, { listen_drops: 0, cut: 0 }])
  assert.match(first.steps.find(({ step }) => step === 'start')?.text ?? '', /^pids \d+, \d+ were given \[::\]:8080$/)

  await using load = await lightLoad()
  const second = await node.deploy(folder)
  assert.deepEqual([second.previous, await whoAnswers()], [1, 'v2'])
  assert.deepEqual((await node.settled('shop')).standby, [1])
  const back = await node.rollback('shop')
  assert.deepEqual([back.release, back.previous, await whoAnswers()], [1, 2, 'v1'])
  assert.match((await errorOf(node.rollback('shop'))).message, /was rolled back/)
  const restarted = await node.operate('restart', 'shop')
  assert.deepEqual([restarted.release, await whoAnswers()], [3, 'v3'])
  const status = await node.settled('shop')
  assert.deepEqual([status.strategy, status.active, status.ports[0]?.addresses], ['share', 3, ['::']])
  assert.deepEqual(
    status.releases.map(({ connections, rate }) => [connections.accepted, rate]),
    status.releases.map(() => [null, null]),
  )
  await load.more(20)
  assertNoneLost(await load.stop())

  await node.operate('stop', 'shop')
  await assert.rejects(whoAnswers())
  assert.equal(await isFree(), false)
  await node.operate('start', 'shop')
  assert.equal(await whoAnswers(), 'v3')
  await node.operate('remove', 'shop')
  assert.equal(await isFree(), true)
})

test('a candidate is dark until the cutover, and one that fails was never seen', async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t, { server: givenServer }))
  await using load = await lightLoad()
  const sick = givenServer.replace('response.end(answer())', 'response.writeHead(503).end(answer())')
  await errorOf(node.deploy(shopFolder(t, { server: sick, config: 'deploy_timeout: 5s' })))
  await assertFailed(node, { release: 2, active: 1, reason: /GET \/ answered 503/ })

  const late = givenServer.replace(
    'response.end(answer())',
    `{
      writeFileSync('asked', '')
      response.writeHead(existsSync('go') ? 200 : 503).end(answer())
    }`,
  )
  const server = `import { existsSync, writeFileSync } from 'node:fs'\n${late}`
  const release = join(node.place.home, 'releases/shop/v3')
  const deploy = node.deploy(shopFolder(t, { server }))
  await eventually(() => existsSync(join(release, 'asked')))
  await load.more(100)
  assert.deepEqual(Object.keys((await load.snapshot()).answered), ['v1'])
  writeFileSync(join(release, 'go'), '')
  await deploy
  await load.until('the next release answers', ({ answered }) => (answered.v3 ?? 0) > 0)
  const fates = await load.stop()
  assertNoneLost(fates)
  assert.deepEqual(Object.keys(fates.answered).toSorted(), ['v1', 'v3'])
})

test('an app that opens its port itself is recognised, and told what to do', async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t, { server: givenServer }))
  const taken = await errorOf(node.deploy(shopFolder(t)))
  assert.match(
    taken.message,
    /exited with code 1.*\nIt opened its port itself, and has to take the socket .*LISTEN_FDS/s,
  )

  const shared = `
    import { createServer } from 'node:http'
    createServer((request, response) => response.end('mine')).listen({ port: ${shopPort}, reusePort: true })`
  const joined = await errorOf(
    node.deploy(shopFolder(t, { server: shared, config: 'deploy_timeout: 5s\nhealth: {path: /, timeout: 200ms}' })),
  )
  assert.match(joined.message, /got no answer.*; it listens on 8080 by itself, and has to take the socket/)

  const elsewhere = shared.replace(`port: ${shopPort}, reusePort: true`, 'port: 8123')
  const other = await errorOf(
    node.deploy(shopFolder(t, { server: elsewhere, config: 'deploy_timeout: 3s\nhealth: {tcp: true}' })),
  )
  assert.match(other.message, /port 8080 .*; it listens on 8123 by itself, and has to take the socket/)
  assert.equal(await whoAnswers(), 'v1')
})

test('what an ordinary user cannot have is refused in so many words', async (t) => {
  const node = await startNode(t)
  const refused = async (config: string) =>
    (await errorOf(node.deploy(shopFolder(t, { server: givenServer, config })))).message
  assert.match(await refused('strategy: steer'), /steer does not work here: the daemon does not run as root/)
  assert.match(
    [await errorOf(node.deploy(shopFolder(t, { server: givenServer, config: 'user: root' })))]
      .flatMap(({ message, details }) => [message, ...details])
      .join('\n'),
    /user.*root: only a daemon that runs as root can start programs as another user/,
  )
  assert.match(await refused('port: 80'), /Port 80 of :: cannot be had: an ordinary user may not/)
  assert.match(await refused('ports: [{port: 8080, address: "::1"}]'), /share can only ask a release over IPv4/)

  const stranger = createServer().listen(shopPort, '127.0.0.1')
  await once(stranger, 'listening')
  t.after(() => stranger.close())
  const held = await refused('ports: [{port: 8080, address: 127.0.0.1}]')
  assert.match(held, /Port 8080 is held by node \(pid \d+\), which listens on 127\.0\.0\.1/)
})

test('a command that asks for health is run, with a word on whom it reaches', async (t) => {
  const node = await startNode(t)
  const folder = (health: string) => shopFolder(t, { server: givenServer, config: `health: ${health}` })
  const { warnings } = await node.deploy(folder('{command: "true"}'))
  assert.match(warnings.join('\n'), /health is a command: .* the active release answers it/)
  assert.deepEqual((await node.deploy(folder('{path: /}'))).warnings, [])
})

test('who waits to be accepted by the release that is left is counted with it, and answered by it', async (t) => {
  const node = await startNode(t)
  const config = 'run: python3 one.py\nstandby: {keep: 0}'
  const folder = shopFolder(t, { config, files: { 'one.py': oneAtATime } })
  await node.deploy(folder)
  const first = ask('/slow')
  await eventually(() => dumpTcp({ states: ['established'], port: shopPort }).some(({ inode }) => inode !== 0))
  const second = ask('/')
  await eventually(() => dumpTcp({ states: ['established'], port: shopPort }).length === 2)
  const { remaining } = await node.deploy(folder)
  assert.equal(remaining, 2)
  writeFileSync(join(node.place.home, 'releases/shop/v1/go'), '')
  assert.deepEqual(await Promise.all([first, second]), ['v1', 'v1'])
  assert.deepEqual((await node.settled('shop')).standby, [])
})

test('doctor says what works here', async (t) => {
  const node = await startNode(t)
  const { code, stdout } = await cutover(['doctor', '--json'], { home: node.place.home })
  const { strategy, checks } = JSON.parse(stdout)
  assert.deepEqual([code, strategy], [0, 'share'])
  const named = (check: string) => checks.find((one: { check: string }) => one.check === check)
  assert.match(named('steer').text, /needs root/)
  assert.deepEqual([named('shared port').ok, named('kept sockets').ok], [true, true])
})

/** Has no other connection while it answers one; where it is asked to be slow, that is when the file `go` is there. */
const oneAtATime = `
import os, socket, time
listener = socket.socket(fileno=3)
answer = os.environ["CUTOVER_RELEASE"].encode()
while True:
    connection, _ = listener.accept()
    if b"/slow" in connection.recv(65536):
        while not os.path.exists("go"):
            time.sleep(0.02)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\n" + answer)
    connection.close()
`

/** Whether somebody else could have the port. */
async function isFree(): Promise<boolean> {
  const server = createServer()
  server.listen(shopPort)
  try {
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}
