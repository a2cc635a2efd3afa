/** `$CUTOVER_HOME` is where a root daemon writes, listens and finds what it knows: nobody else may have a hand on it. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { requireTrusted } from '../../src/daemon/trusted.ts'
import { resolveUser } from '../../src/linux/users.ts'
import { cutover } from '../support/cutover.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { temporaryDirectory } from '../support/workspace.ts'

const skip = asRoot
const nobody = resolveUser('nobody')

test('a home is refused that others own, can write to, or can exchange, wherever on the way', { skip }, (t) => {
  const root = temporaryDirectory(t)
  chmodSync(root, 0o755)
  const at = (...path: string[]) => join(root, ...path)
  for (const folder of ['own', 'theirs/below', 'open', 'sticky/own', 'sticky/theirs', 'shared', 'open-above/own'])
    mkdirSync(at(folder), { recursive: true })
  for (const folder of ['theirs', 'sticky/theirs']) chownSync(at(folder), nobody.uid, nobody.gid)
  chmodSync(at('open'), 0o757)
  chmodSync(at('open-above'), 0o777)
  chmodSync(at('sticky'), 0o1777)
  // Its group is the socket's, whose members may do everything anyway.
  chmodSync(at('shared'), 0o775)
  const links = {
    'to-own': 'own',
    'to-theirs': 'theirs/below',
    'to-link': 'to-theirs',
    loop: 'loop',
    'their-link': 'own',
  }
  for (const [name, target] of Object.entries(links)) symlinkSync(target, at(name))
  lchownSync(at('their-link'), nobody.uid, nobody.gid)

  for (const good of ['own', 'own/new/below', 'sticky/own', 'sticky/new', 'shared', 'to-own', 'to-own/new'])
    requireTrusted(at(good))
  const bad = {
    theirs: /theirs belongs to nobody/,
    'theirs/below': /theirs belongs to nobody/,
    'theirs/new': /theirs belongs to nobody/,
    open: /everybody may write to .*open/,
    'open-above/own': /everybody may write to .*open-above/,
    'open/new': /everybody may write to .*open/,
    sticky: /everybody may write to .*sticky/,
    'sticky/theirs': /theirs belongs to nobody/,
    'to-theirs': /theirs belongs to nobody/,
    'to-link/new': /theirs belongs to nobody/,
    'their-link': /their-link belongs to nobody/,
    loop: /leads nowhere/,
  }
  for (const [path, message] of Object.entries(bad))
    assert.throws(() => requireTrusted(at(path)), { kind: 'unreachable', message }, path)
  requireTrusted(at('sticky/theirs'), nobody.uid)
})

test('a home that somebody made first is neither written to nor believed', { skip }, async (t) => {
  const home = temporaryDirectory(t)
  const precious = join(temporaryDirectory(t), 'precious')
  writeFileSync(precious, 'as it was')
  const traps = ['daemon.log', 'daemon.lock', 'cutover.db', 'cutover.db-wal', '.socket', 'logs', 'releases']
  for (const name of traps) symlinkSync(precious, join(home, name))
  const asked: unknown[] = []
  const impostor = createServer(({ url }, response) => {
    asked.push(url)
    response.setHeader('content-type', 'application/json').end('{"schema":1,"app":"shop","apps":[]}')
  })
  impostor.listen(join(home, 'cutover.sock'))
  t.after(() => impostor.close())
  chownSync(home, nobody.uid, nobody.gid)
  const before = readdirSync(home).map((name) => lstatSync(join(home, name)).ino)
  for (const args of [
    ['status'],
    ['deploy', home],
    ['daemon'],
    ['daemon', 'stop', '--all', '--yes'],
    ['logs', 'shop', '--json'],
  ]) {
    const { code, stderr } = await cutover(args, { home })
    assert.equal(code, 3, stderr)
    assert.match(
      stderr,
      /is no safe place for Cutover: .* belongs to nobody\. Nothing there was used\. Set CUTOVER_HOME/,
    )
  }
  assert.deepEqual(asked, [])
  assert.equal(readFileSync(precious, 'utf8'), 'as it was')
  assert.deepEqual(
    readdirSync(home).map((name) => lstatSync(join(home, name)).ino),
    before,
  )
})

for (const name of ['daemon.lock', 'cutover.db']) {
  test(`a symbolic link in the place of ${name} is not followed`, { skip }, async (t) => {
    const home = temporaryDirectory(t)
    const precious = join(temporaryDirectory(t), 'precious')
    writeFileSync(precious, 'as it was')
    symlinkSync(precious, join(home, name))
    const { code, stderr } = await cutover(['status'], { home })
    assert.equal(code, 3, stderr)
    assert.ok(stderr.includes(name), stderr)
    assert.equal(readFileSync(precious, 'utf8'), 'as it was')
  })
}

for (const name of ['cutover.sock', 'daemon.log']) {
  test(`a symbolic link in the place of ${name} is passed by, and what it leads to is not touched`, {
    skip,
  }, async (t) => {
    const node = await startNode(t)
    const { home } = node.place
    await node.killDaemon()
    const precious = join(temporaryDirectory(t), 'precious')
    writeFileSync(precious, 'as it was')
    rmSync(join(home, name), { force: true })
    symlinkSync(precious, join(home, name))
    const { code, stderr } = await cutover(['status'], { home })
    assert.equal(code, 0, stderr)
    assert.equal(readFileSync(precious, 'utf8'), 'as it was')
  })
}
