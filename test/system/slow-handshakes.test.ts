/** Clients with a slow line, whose handshakes are half done when a deploy moves the app to another address: no queue can move there. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { startApp } from '../steer/fixtures.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { shopFolder, shopPort } from '../support/shop.ts'

const skip = asRoot || needs('python3', 'iproute2') || (existsSync('/dev/net/tun') ? false : 'needs TUN')
const many = 40

/** Answers HTTP, and everything else with its release. */
const serverAt = (host: string) => `
import { createServer } from 'node:net'
const answer = 'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\nok'
createServer((socket) => {
  socket.on('error', () => {})
  socket.once('data', (said) => socket.end(String(said).startsWith('GET') ? answer : process.env.CUTOVER_RELEASE))
}).listen({ port: ${shopPort}, host: '${host}', backlog: 256 })`

test('handshakes half done when a deploy changes the address are all answered, by the release that is left', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  const config = 'standby: {keep: 0}'
  await node.deploy(shopFolder(t, { server: serverAt('0.0.0.0'), config }))
  const far = await startApp(t, null, 'far')
  await far.run('import far')
  assert.deepEqual(await far.run(`far.begin(${shopPort}, ${many})`), { half: many })
  const { warnings } = await node.deploy(shopFolder(t, { server: serverAt('::'), config }))
  assert.match(warnings.join('\n'), /v1 answers them, and those whose handshake is half done, before it ends/)
  assert.equal((await node.app('shop')).releases.find(({ release }) => release === 1)?.state, 'retiring')
  assert.deepEqual(await far.run('far.finish()'), { v1: many })
  await node.settled('shop')
  assert.equal(existsSync(`${node.cgroup}/shop.v1`), false, 'then it ends')
})

test('where the address stays the same nobody is waited for, and the next release answers them', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  const folder = shopFolder(t, { server: serverAt('0.0.0.0'), config: 'standby: {keep: 0}' })
  await node.deploy(folder)
  const far = await startApp(t, null, 'far')
  await far.run('import far')
  assert.deepEqual(await far.run(`far.begin(${shopPort}, ${many})`), { half: many })
  await node.deploy(folder)
  await node.settled('shop')
  assert.deepEqual(await far.run('far.finish()'), { v2: many })
})

test('where releases are given their socket, those that are half done are answered by the one that is left, before it ends', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  const server = serverAt('0.0.0.0').replace(`port: ${shopPort}, host: '0.0.0.0'`, 'fd: 3')
  const folder = shopFolder(t, { server, config: 'standby: {keep: 0}\nbind: inherit' })
  await node.deploy(folder)
  const far = await startApp(t, null, 'far')
  await far.run('import far')
  assert.deepEqual(await far.run(`far.begin(${shopPort}, ${many})`), { half: many })
  assert.equal((await node.deploy(folder)).strategy, 'share')
  assert.equal((await node.app('shop')).releases.find(({ release }) => release === 1)?.state, 'retiring')
  assert.deepEqual(await far.run('far.finish()'), { v1: many })
  await node.settled('shop')
  assert.equal(existsSync(`${node.cgroup}/shop.v1`), false, 'then it ends')
})
