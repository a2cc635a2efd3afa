/** An app that listens on more ports than the kernel's tables have room for. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { chmodSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { whoAnswers } from '../support/app.ts'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { goodServer, lightLoad, logOf, shopFolder } from '../support/shop.ts'

/** Once it is live it opens as many listeners as it may. */
const greedy = `
import http.server, resource, socket, threading, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
kept = []
def take():
    time.sleep(2)
    try:
        for port in range(10000, 20000):
            s = socket.socket()
            kept.append(s)
            s.bind(('127.0.0.1', port))
            s.listen(1)
    except OSError:
        kept.pop().close()
    print('took', len(kept), flush=True)
threading.Thread(target=take, daemon=True).start()
http.server.HTTPServer(('0.0.0.0', 8081), http.server.SimpleHTTPRequestHandler).serve_forever()
`

test('an app that takes thousands of ports keeps no other one from being served, looked at and deployed', {
  skip: asRoot || needs('python3'),
}, async (t) => {
  const node = await startNode(t)
  chmodSync(node.place.home, 0o755)
  const shop = shopFolder(t)
  await node.deploy(shop)
  await using load = await lightLoad()
  const config = 'run: [/usr/bin/python3, greedy.py]\nport: 8081\nuser: nobody'
  await node.deploy(shopFolder(t, { app: 'greedy', config, files: { 'greedy.py': greedy } }))
  while (!/^took \d+$/m.test(await logOf(node, 1, 'greedy'))) await pause(200)
  const { ports } = await node.app('greedy')
  assert.equal(ports.length, 128, 'so many are steered; the others are left to the kernel')
  assert.equal((await node.deploy(shop)).release, 2)
  const other = shopFolder(t, { app: 'other', config: 'port: 8082', server: goodServer.replace('8080', '8082') })
  assert.equal((await node.deploy(other)).release, 1)
  assert.equal(await whoAnswers(8082), 'v1')
  await node.operate('remove', 'greedy')
  assertNoneLost(await load.stop())
})
