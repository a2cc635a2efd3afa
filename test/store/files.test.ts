import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { commitOf } from '../../src/store/files/commit.ts'
import { copyRelease } from '../../src/store/files/copy.ts'
import { missedFile } from '../../src/store/files/missed.ts'
import { everything, make, shop } from './files-fixture.ts'

const root = process.getuid?.() === 0
const nobody = { uid: 65534, gid: 65534 }
const mode = (path: string) => statSync(path).mode & 0o7777

test('a release is the folder as it was, with modes, times and links, and without .git', async (t) => {
  const request = shop(t, {
    'server.js': 'serve()',
    'bin/start': '#!/bin/sh',
    'lib/deep/er/x.js': 'x',
    empty: null,
    current: '-> lib/deep',
    '.env': 'A=1',
    '.git/HEAD': 'ref: refs/heads/main',
    'vendor/module/.git': 'gitdir: elsewhere',
    'ümläut ☃.txt': 'snow',
  })
  chmodSync(join(request.from, 'bin/start'), 0o4755)
  chmodSync(join(request.from, 'lib/deep/er'), 0o555)
  utimesSync(join(request.from, 'server.js'), 1_000_000_000, 1_000_000_000)
  utimesSync(join(request.from, 'lib'), 1_000_000_001, 1_000_000_001)
  const copied = await copyRelease(request)
  assert.deepEqual(everything(request.to), [
    '.env',
    'bin/',
    'bin/start',
    'current',
    'empty/',
    'lib/',
    'lib/deep/',
    'lib/deep/er/',
    'lib/deep/er/x.js',
    'server.js',
    'vendor/',
    'vendor/module/',
    'ümläut ☃.txt',
  ])
  assert.equal(copied.files, 5)
  assert.equal(copied.bytes, 'serve()#!/bin/shxA=1snow'.length)
  assert.deepEqual(copied.warnings, [])
  assert.equal(readFileSync(join(request.to, 'server.js'), 'utf8'), 'serve()')
  assert.equal(readlinkSync(join(request.to, 'current')), 'lib/deep')
  assert.equal(mode(join(request.to, 'bin/start')), 0o755, 'no set-user-ID bit')
  assert.equal(mode(join(request.to, 'lib/deep/er')), 0o555)
  assert.equal(statSync(join(request.to, 'server.js')).mtimeMs, 1_000_000_000_000)
  assert.equal(statSync(join(request.to, 'lib')).mtimeMs, 1_000_000_001_000)
  assert.deepEqual(readdirSync(join(request.home, 'releases/shop')), ['v1'])
})

test('a release does not change when its folder does', async (t) => {
  const request = shop(t, { 'a.txt': 'one' })
  linkSync(join(request.from, 'a.txt'), join(request.from, 'b.txt'))
  await copyRelease(request)
  writeFileSync(join(request.from, 'a.txt'), 'two')
  writeFileSync(join(request.to, 'b.txt'), 'three')
  assert.equal(readFileSync(join(request.to, 'a.txt'), 'utf8'), 'one', 'hard links become files of their own')
})

test('a release is labelled with the commit of its folder, and with nothing where there is none', async (t) => {
  const request = shop(t, { 'a.txt': 'one' })
  assert.equal(await commitOf(request.from), null)
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
      cwd: request.from,
      encoding: 'utf8',
    })
  git('init', '-q')
  assert.equal(await commitOf(request.from), null)
  git('add', '.')
  git('commit', '-qm', 'first')
  const commit = git('rev-parse', '--short', 'HEAD').trim()
  assert.equal(await commitOf(request.from), commit)
  if (!root) return
  execFileSync('chown', ['-R', '65534:65534', request.from])
  assert.equal(await commitOf(request.from), commit, 'in a folder of another user')
  // A folder's owner can have git run anything: here instead of git itself.
  const tools = join(request.root, 'tools')
  make(tools, { git: '#!/bin/sh\nid -u > who\necho abcdef1\n' })
  chmodSync(join(tools, 'git'), 0o755)
  const path = process.env.PATH
  t.after(() => {
    process.env.PATH = path
  })
  process.env.PATH = `${tools}:${path}`
  assert.equal(await commitOf(request.from), 'abcdef1')
  assert.equal(readFileSync(join(request.from, 'who'), 'utf8'), '65534\n')
})

test('a big sparse file keeps its content and its holes', async (t) => {
  const request = shop(t, {})
  const file = join(request.from, 'disk.img')
  const fd = openSync(file, 'w')
  writeSync(fd, 'begin', 0)
  writeSync(fd, 'middle', 90_000_000)
  closeSync(fd)
  truncateSync(file, 200_000_001)
  chmodSync(file, 0o640)
  await copyRelease(request)
  const copy = join(request.to, 'disk.img')
  assert.equal(execFileSync('cmp', [file, copy], { encoding: 'utf8' }), '')
  assert.ok(statSync(copy).blocks * 512 < 20_000_000)
  assert.equal(mode(copy), 0o640)
})

test('sockets, fifos and devices are left out with a warning', async (t) => {
  const request = shop(t, { 'run/app.js': 'x' })
  const server = createServer().listen(join(request.from, 'run/app.sock'))
  await once(server, 'listening')
  t.after(() => server.close())
  execFileSync('mkfifo', [join(request.from, 'run/pipe')])
  const { warnings } = await copyRelease(request)
  assert.deepEqual(everything(request.to), ['run/', 'run/app.js'])
  assert.match(warnings.join(), /sockets, fifos or devices: run\/app\.sock, run\/pipe\./)
})

test("Cutover's own state inside the folder is left out with a warning, and is no app by itself", async (t) => {
  const outer = shop(t, { 'a.txt': 'a' })
  const request = { ...outer, from: outer.root }
  const { warnings } = await copyRelease(request)
  assert.deepEqual(everything(request.to), ['shop/', 'shop/a.txt'])
  assert.match(warnings.join(), /own state/)
  await assert.rejects(
    copyRelease({ ...request, from: request.home, to: `${request.to}2` }),
    /cannot be an app's folder/,
  )
})

test('a release belongs to its user, and others see of it what they saw of the folder', {
  skip: !root && 'needs root',
}, async (t) => {
  const request = {
    ...shop(t, { 'a.txt': 'a', 'sub/key': 'k', link: '-> a.txt', '.env': 'S=1' }),
    user: nobody,
    envFiles: ['.env'],
  }
  chmodSync(join(request.from, 'sub/key'), 0o600)
  const previous = process.umask(0o077)
  t.after(() => process.umask(previous))
  await copyRelease(request)
  for (const path of ['', 'a.txt', 'sub', 'sub/key', 'link', '.env'])
    assert.deepEqual(
      [lstatSync(join(request.to, path)).uid, lstatSync(join(request.to, path)).gid],
      [65534, 65534],
      path,
    )
  assert.equal(mode(request.to), 0o755)
  assert.equal(mode(join(request.to, '.env')), 0o600, 'an env_file is for the user alone')
  assert.equal(statSync(join(request.home, 'releases/shop')).uid, 0, 'so that the user cannot exchange releases')
  const asNobody = (...command: string[]) =>
    execFileSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', ...command], { encoding: 'utf8' })
  assert.equal(asNobody('cat', join(request.to, 'sub/key')), 'k')

  chmodSync(request.from, 0o700)
  await copyRelease({ ...request, to: `${request.to}2` })
  assert.equal(mode(`${request.to}2`), 0o700)
  chmodSync(request.from, 0o755)
  chmodSync(request.root, 0o711)
  await copyRelease({ ...request, to: `${request.to}3` })
  assert.equal(mode(`${request.to}3`), 0o755)
  chmodSync(request.root, 0o700)
  await copyRelease({ ...request, to: `${request.to}4` })
  assert.equal(mode(`${request.to}4`), 0o700, 'a folder above hid it')
})

test('an env_file that links lead to is for the user alone too, under each of its names and where it is shared', async (t) => {
  const request = {
    ...shop(t, {
      'production.env': 'S=1',
      '.env': '-> production.env',
      'real/a.env': 'S=2',
      config: '-> real',
      'kept/b.env': 'S=3',
      'other.env': 'no secret',
    }),
    envFiles: ['.env', 'config/a.env', 'kept/b.env'],
    shared: ['kept'],
  }
  linkSync(join(request.from, 'production.env'), join(request.from, 'again.env'))
  await copyRelease(request)
  const mode = (path: string) => statSync(join(request.to, path)).mode & 0o777
  for (const path of ['production.env', '.env', 'again.env', 'real/a.env', 'config/a.env', 'kept/b.env'])
    assert.equal(mode(path), 0o600, path)
  assert.equal(mode('other.env'), statSync(join(request.from, 'other.env')).mode & 0o777)
})

test('a folder that is missing or cannot be read is refused, and nothing is left behind', async (t) => {
  const request = shop(t, { 'a.txt': 'a', 'closed/b.txt': 'b' })
  await assert.rejects(copyRelease({ ...request, from: join(request.root, 'nowhere') }), {
    name: 'CutoverError',
    message: /cannot read the folder .*nowhere: no such file or directory/,
  })
  await assert.rejects(copyRelease({ ...request, from: join(request.from, 'a.txt') }), /not a directory/)
  assert.deepEqual(everything(request.home), [])
  if (!root) return
  // Root may read anything, so another user asks.
  chmodSync(join(request.from, 'closed'), 0o700)
  chownSync(request.home, 65534, 65534)
  const script = `
    const { copyRelease } = await import(${JSON.stringify(realpathSync('src/store/files/copy.ts'))})
    process.setgroups([]); process.setgid(65534); process.setuid(65534)
    await copyRelease(JSON.parse(process.argv[1])).catch((error) => console.log(error.message, error.details.join()))`
  const asked = (given: object) =>
    execFileSync(process.execPath, ['--input-type=module', '-e', script, JSON.stringify(given)], { encoding: 'utf8' })
  assert.match(asked(request), /cannot be copied as it is.*closed: cannot read closed: permission denied/s)
  assert.equal(asked({ ...request, ignore: ['closed'] }), '', 'what is left out need not be readable')
  assert.deepEqual(everything(request.to), ['a.txt'])
  chmodSync(join(request.from, 'a.txt'), 0o600)
  assert.match(
    asked({ ...request, ignore: ['closed'], to: `${request.to}2` }),
    /a\.txt: permission denied.*Nothing of the copy remains/,
  )
  assert.deepEqual(readdirSync(join(request.home, 'releases/shop')), ['v1'])
})

test('a file that neither the owner of the folder nor the app may read is refused, however it got there', {
  skip: !root && 'needs root',
}, async (t) => {
  const request = { ...shop(t, { 'a.txt': 'a' }), user: nobody }
  writeFileSync(join(request.root, 'secret'), 'secret', { mode: 0o600 })
  linkSync(join(request.root, 'secret'), join(request.from, 'mine'))
  chownSync(request.from, 65534, 65534)
  await assert.rejects(copyRelease(request), (error: Error & { details: string[] }) =>
    /mine: it belongs to uid 0/.test(error.details.join()),
  )
  assert.equal(existsSync(request.to), false)
})

test('an aborted copy leaves nothing behind, wherever it was', async (t) => {
  const tree = Object.fromEntries(Array.from({ length: 400 }, (_, n) => [`d${n % 20}/f${n}`, 'x'.repeat(n)]))
  const request = { ...shop(t, { ...tree, 'data/db.sqlite': 'db' }), shared: ['data/db.sqlite'] }
  let aborted = 0
  for (let turns = 0; turns < 400; turns += 20) {
    const controller = new AbortController()
    const copy = copyRelease({ ...request, signal: controller.signal })
    const outcome = copy.then(
      () => 'done',
      (error: unknown) => error,
    )
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
    const reason = new Error('the client went away')
    controller.abort(reason)
    if ((await outcome) === 'done') break
    assert.equal(await outcome, reason)
    assert.deepEqual(
      everything(request.home).filter((path) => !['releases/', 'shared/'].includes(path)),
      [],
    )
    aborted++
  }
  assert.ok(aborted > 0)
})

test('a folder whose files are exchanged for links all the while never leaks what they lead to', {
  skip: !root && 'needs root',
}, async (t) => {
  const request = { ...shop(t, { 'sub/file': 'mine' }), user: nobody }
  make(request.root, { 'secrets/file': 'SECRET' })
  const swap = `cd ${request.from}; while :; do mv sub was; ln -s ../secrets sub; rm sub; mv was sub; rm sub/file; ln -s ../../secrets/file sub/file; rm sub/file; echo mine > sub/file; done`
  const swapper = spawn('sh', ['-c', swap], { stdio: 'ignore' })
  const ended = once(swapper, 'exit')
  try {
    for (let n = 0; n < 100; n++) {
      const to = `${request.to}-${n}`
      await copyRelease({ ...request, to }).catch((error: Error) =>
        assert.equal(error.name, 'CutoverError', error.message),
      )
      if (!existsSync(join(to, 'sub'))) continue
      assert.ok(!lstatSync(join(to, 'sub')).isSymbolicLink())
      for (const name of readdirSync(join(to, 'sub')))
        assert.doesNotMatch(readFileSync(join(to, 'sub', name), 'utf8'), /SECRET/)
    }
  } finally {
    // Before the folder is removed, which it would have changed meanwhile.
    swapper.kill('SIGKILL')
    await ended
  }
})

test('a copy through a link to the folder is a copy of the folder', async (t) => {
  const request = shop(t, { 'a.txt': 'a' })
  symlinkSync(request.from, join(request.root, 'alias'))
  await copyRelease({ ...request, from: join(request.root, 'alias') })
  assert.deepEqual(everything(request.to), ['a.txt'])
})

test('an error that names a file which was left out is recognised', () => {
  const leftOut = [
    { path: '.git/', by: 'Cutover' },
    { path: 'dist/', by: '.gitignore' },
    { path: 'config.json', by: 'the key "ignore"' },
  ]
  const missed = (line: string) => missedFile(leftOut, ['Error', line], '/home/releases/shop/v1')?.path
  assert.equal(missed("Cannot find module '/home/releases/shop/v1/dist/main.js'"), 'dist/')
  assert.equal(missed("ENOENT: no such file, open './config.json'"), 'config.json')
  assert.equal(missed('cannot open config.json: no such file'), 'config.json')
  assert.equal(missed('the distance to lib/dist is .gitted'), undefined)
})
