/** A release that cannot serve never goes live, whatever is wrong with it: traffic stays where it is, and nothing but its log is left. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { assertFailed, errorOf, goodServer, lightLoad, logOf, type Shop, shopFolder } from '../support/shop.ts'

interface Broken extends Shop {
  readonly what: string
  readonly reason: RegExp
  /** What its log has, which is kept. */
  readonly log?: RegExp
}

/** Enough for a server to start on a busy machine, and little to wait where one never gets ready. */
const impatient = 'deploy_timeout: 4s'

const broken: readonly Broken[] = [
  {
    what: 'exits at once',
    server: 'console.log("no database"); process.exit(3)',
    reason: /exited with code 3/,
    log: /^no database$/m,
  },
  {
    what: 'is killed while it starts',
    server: 'process.kill(process.pid, "SIGKILL")',
    reason: /SIGKILL/,
  },
  {
    what: 'listens, and exits before it is healthy',
    server: `
      import { createServer } from 'node:http'
      console.log('warming up')
      createServer((_, response) => {
        response.writeHead(503).end()
        setTimeout(() => process.exit(4), 200)
      }).listen(8080)`,
    reason: /exited with code 4/,
    log: /^warming up$/m,
  },
  {
    what: 'never gets healthy',
    config: impatient,
    server: `
      import { createServer } from 'node:http'
      createServer((_, response) => response.writeHead(500).end()).listen(8080)
      console.log('no database')`,
    reason: /did not get healthy within 4s \(deploy_timeout\) and never went live: GET \/ answered 500, \d+ times/,
    log: /^no database$/m,
  },
  {
    what: 'is healthy once and then not',
    config: impatient,
    server: `
      import { createServer } from 'node:http'
      let asked = 0
      createServer((_, response) => response.writeHead(asked++ === 0 ? 200 : 500).end()).listen(8080)`,
    reason: /GET \/ answered 500, \d+ times/,
  },
  {
    what: 'takes connections and never says a word',
    config: `${impatient}\nhealth: {timeout: 500ms}`,
    server: `
      import { createServer } from 'node:net'
      createServer(() => {}).listen(8080)`,
    reason: /GET \/ got no answer within 0\.5 s.*health: \{tcp: true\}/,
  },
  {
    what: 'speaks another protocol than the app did before',
    config: impatient,
    server: `
      import { createServer } from 'node:net'
      createServer((socket) => socket.end('220 mail.example ESMTP')).listen(8080)`,
    reason: /earlier releases of this app spoke HTTP/,
  },
  {
    what: 'listens on the wrong port',
    config: impatient,
    server: goodServer.replace('8080', '8090'),
    reason: /did not start within 4s \(deploy_timeout\).*nothing listens on 8080 \(it listens on 8090\)/,
  },
  {
    what: 'listens on nothing',
    config: impatient,
    server: 'setInterval(() => {}, 1000)',
    reason: /nothing listens on 8080 \(it listens on no fixed port at all\)/,
  },
  {
    what: 'names a program that is not there',
    config: 'run: shopd --port 8080',
    reason: /The program "shopd" was not found in PATH/,
  },
  {
    what: 'names a file that is not executable',
    config: 'run: ./server.mjs',
    reason: /server\.mjs is not executable.*chmod \+x/,
  },
  {
    what: 'is a script whose interpreter is not there',
    config: 'run: sh -c "./server.sh"\nbuild: sh -c "chmod +x server.sh"',
    files: { 'server.sh': '#!/opt/shop/bin/perl\n' },
    reason: /exited with code 12[67]/,
  },
  {
    what: 'cannot be built',
    config: `build: sh -c "echo compiling; echo 'no such module' >&2; exit 7"`,
    reason: /was not built, and never went live: .* exited with code 7/,
    log: /^compiling\nno such module$/m,
  },
  {
    what: 'fails in its release command',
    config: `release: sh -c "echo migrating; exit 8"`,
    reason: /failed in its release command, and never went live: .* exited with code 8/,
    log: /^migrating$/m,
  },
  {
    what: 'misses a file that was left out of the release',
    config: 'ignore: [settings.json]',
    server: `
      import { readFileSync } from 'node:fs'
      readFileSync('settings.json')`,
    files: { 'settings.json': '{}' },
    reason: /exited with code 1/,
    log: /settings\.json/,
  },
  {
    what: 'fails while it is warmed up',
    config: 'warmup: [{path: /, times: 5}]',
    server: `
      import { createServer } from 'node:http'
      let asked = 0
      createServer((_, response) => (asked++ < 3 ? response.end("v0 ") : process.exit(9))).listen(8080)`,
    reason: /exited with code 9/,
  },
]

test('while clients are served, a release that', { skip: asRoot }, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  await using load = await lightLoad()
  let release = 1
  for (const { what, reason, log, ...shop } of broken) {
    release++
    await t.test(`${what} never goes live, and nothing but its log is left of it`, async (t) => {
      const error = await errorOf(node.deploy(shopFolder(t, shop)))
      assert.equal(error.kind, 'failed')
      assert.match(error.message, new RegExp(`^shop v${release} `))
      assert.match(error.message, reason)
      assert.match(error.message, /\. Traffic is on v1, as before\./)
      await assertFailed(node, { release, active: 1, reason })
      if (log === undefined) return
      assert.match(await logOf(node, release), log)
      assert.match(error.details.join('\n'), log)
      assert.match(error.message, new RegExp(`Its whole log: cutover logs shop --release v${release}$`))
    })
  }

  const fates = await load.stop()
  assertNoneLost(fates)
  assert.deepEqual(Object.keys(fates.answered), ['v1'])
})
