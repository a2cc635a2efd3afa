/** What an app finds around it: its environment, its user, what is shared, and the commands that ran before it. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Progress } from '../../src/core/documents.ts'
import { named } from '../../src/core/words.ts'
import { resolveUser } from '../../src/linux/users.ts'
import { ask, whoAnswers } from '../support/app.ts'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { goodServer, lightLoad, logOf, shopFolder } from '../support/shop.ts'

const skip = asRoot

test('an app has a small environment of its own, and its secrets are nowhere else', { skip }, async (t) => {
  const node = await startNode(t)
  const folder = shopFolder(t, {
    config: 'workers: 2\nenv: {GREETING: hello, MODE: live}\nenv_file: secrets.env',
    server: goodServer.replace('answer())', "request.url === '/' ? answer() : JSON.stringify(process.env))"),
    files: { 'secrets.env': 'TOKEN=open-sesame-4711\nMODE=test\n' },
  })
  chmodSync(join(folder, 'secrets.env'), 0o600)
  await node.deploy(folder)
  const seen = []
  for (let i = 0; i < 2; i++) seen.push(JSON.parse(await ask('/environment')))
  const { PATH } = process.env
  const { home } = resolveUser('0')
  const LANG = process.env.LANG ?? 'C.UTF-8'
  const common = { PATH, HOME: home, LANG, PORT: '8080', CUTOVER_RELEASE: 'v1', GREETING: 'hello', MODE: 'live' }
  assert.deepEqual(
    seen.toSorted((a, b) => a.CUTOVER_WORKER - b.CUTOVER_WORKER),
    ['1', '2'].map((CUTOVER_WORKER) => ({ ...common, TOKEN: 'open-sesame-4711', CUTOVER_WORKER })),
  )

  const having = execFileSync('grep', ['-rlaF', '--exclude-dir=bpf', 'open-sesame-4711', node.place.home], {
    encoding: 'utf8',
  })
  const release = join(node.place.home, 'releases', 'shop', 'v1')
  assert.deepEqual(
    having.trim().split('\n').toSorted(),
    [`${release}.env.json`, join(release, 'secrets.env')].toSorted(),
  )
  for (const file of having.trim().split('\n')) assert.equal(statSync(file).mode & 0o777, 0o600)
})

/** Python, since this checkout's own Node may lie where an ordinary user may not go. */
const userServer = `
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        body = f"{os.environ['CUTOVER_RELEASE']} uid {os.getuid()} groups {os.getgroups()}\\n".encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass

http.server.ThreadingHTTPServer(('0.0.0.0', 80), Handler).serve_forever()
`

test('an app may have port 80 as an ordinary user, in release after release', {
  skip: skip || needs('python3'),
}, async (t) => {
  const node = await startNode(t)
  chmodSync(node.place.home, 0o755)
  const nobody = resolveUser('nobody')
  const folder = shopFolder(t, {
    config: 'run: /usr/bin/python3 server.py\nport: 80\nuser: nobody\nbuild: sh -c "id -u > built-by"',
    files: { 'server.py': userServer },
  })
  await node.deploy(folder)
  await using load = await lightLoad(80)
  await node.deploy(folder)
  await load.until('the new release answers', ({ answered }) => (answered.v2 ?? 0) > 0)
  assert.match(await ask('/', 80), new RegExp(`^v2 uid ${nobody.uid} `))
  const release = join(node.place.home, 'releases', 'shop', 'v2')
  assert.equal(readFileSync(join(release, 'built-by'), 'utf8').trim(), String(nobody.uid))
  assert.equal(statSync(join(release, 'server.py')).uid, nobody.uid)
  await node.rollback('shop')
  assert.equal(await whoAnswers(80), 'v1')
  assertNoneLost(await load.stop())
})

test('what is shared outlives releases, and begins with what the folder had', { skip }, async (t) => {
  const node = await startNode(t)
  const folder = shopFolder(t, {
    config: 'shared: [uploads]',
    server: `
      import { readdirSync, writeFileSync } from 'node:fs'
      import { createServer } from 'node:http'
      const name = process.env.CUTOVER_RELEASE
      createServer(({ url }, response) => {
        if (url !== '/') writeFileSync('uploads' + url, name)
        response.end(name + ' ' + readdirSync('uploads').sort().join(' ') + '\\n')
      }).listen(8080)`,
  })
  mkdirSync(join(folder, 'uploads'))
  writeFileSync(join(folder, 'uploads', 'first'), 'of the folder')
  await node.deploy(folder)
  assert.equal(await ask('/a'), 'v1 a first\n')
  writeFileSync(join(folder, 'uploads', 'first'), 'changed in the folder')
  await node.deploy(folder)
  assert.equal(await ask('/b'), 'v2 a b first\n')
  await node.rollback('shop')
  assert.equal(await ask(), 'v1 a b first\n')
  const kept = join(node.place.home, 'shared', 'shop', 'uploads')
  assert.equal(readFileSync(join(kept, 'first'), 'utf8'), 'of the folder')
  await node.operate('remove', 'shop')
  assert.equal(readFileSync(join(kept, 'b'), 'utf8'), 'v2')
})

test('build and release command run once a release, shown live and kept in its log', { skip }, async (t) => {
  const node = await startNode(t)
  const folder = shopFolder(t, {
    config: `
build: sh -c "echo building in $PWD; echo built >> built"
release: sh -c "cat built; echo migrated >> data/migrations"
shared: [data]
standby: {keep: 0}`.replace('$PWD', 'here'),
  })
  mkdirSync(join(folder, 'data'))
  const said: Progress[] = []
  const { steps } = await node.deploy(folder, (progress) => void said.push(progress))
  assert.deepEqual(
    steps.map(({ step }) => step),
    ['copy', 'build', 'release', 'start', 'healthy', 'cutover'],
  )
  const lines = said.flatMap((one) => (one.type === 'output' ? [`${one.step}: ${one.line}`] : []))
  assert.deepEqual(lines, ['build: building in here', 'release: built'])
  const ended = said.findIndex((one) => one.type === 'end' && one.step === 'build')
  assert.ok(said.findIndex(({ type }) => type === 'output') < ended, 'it was shown only when the step had ended')
  assert.match(await logOf(node, 1), /^building in here\nbuilt$/m)

  await node.deploy(folder)
  await node.settled('shop')
  // v1 runs no more: it is started again, and neither command with it. The same goes for stop and start.
  await node.rollback('shop')
  await node.operate('stop', 'shop')
  await node.operate('start', 'shop')
  assert.equal(await whoAnswers(), 'v1')
  const migrations = readFileSync(join(node.place.home, 'shared', 'shop', 'data', 'migrations'), 'utf8')
  assert.equal(migrations, 'migrated\nmigrated\n')
})

test('a release is warmed up before its first client', { skip }, async (t) => {
  const node = await startNode(t)
  const folder = shopFolder(t, {
    config: 'warmup: [{path: /cache, times: 3}, {path: /search}]',
    server: goodServer.replace('response.end', '(console.log(request.url), response.end(answer())) || response.end'),
  })
  await node.deploy(folder)
  const { steps } = await node.deploy(folder)
  assert.match(steps.find(({ step }) => step === 'warmup')?.text ?? '', /^4 requests, first \d+ ms, last \d+ ms$/)
  await ask('/a-client')
  for (const release of [1, 2]) {
    const asked = (await logOf(node, release)).split('\n').filter((line) => line.startsWith('/'))
    assert.deepEqual(
      asked,
      ['/', '/', '/cache', '/cache', '/cache', '/search', ...(release === 2 ? ['/a-client'] : [])],
      named(release),
    )
  }
})
