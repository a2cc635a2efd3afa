/** What the owner of an app's folder can put there, or change while root copies it: nothing that gets them what they may not have. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readConfig } from '../../src/engine/read-config.ts'
import { ownerOf, resolveUser, type User } from '../../src/linux/users.ts'
import { copyRelease } from '../../src/store/files/copy.ts'
import { copyTree } from '../../src/store/files/copy-tree.ts'
import { readEnvFiles } from '../../src/store/files/environment.ts'
import { readersOf } from '../../src/store/files/privacy.ts'
import { surveyFolder } from '../../src/store/files/survey.ts'
import { make, place, shop } from '../store/files-fixture.ts'
import { cutover } from '../support/cutover.ts'
import { daemonHere } from '../support/daemons.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { goodServer, shopFolder } from '../support/shop.ts'

const skip = asRoot
const nobody = resolveUser('nobody')
const giveTo = (path: string, uid: number) => execFileSync('chown', ['-hR', `${uid}:${uid}`, path])

/** The details of the error, which says what is wrong with each path. */
const refusedFor = (problem: RegExp) => (error: Error & { details: readonly string[] }) =>
  problem.test([error.message, ...error.details].join('\n'))

test('nothing in the place of a config keeps the daemon waiting or reading', { skip, timeout: 60_000 }, async (t) => {
  const { client } = await daemonHere(t)
  const traps: Readonly<Record<string, (file: string) => void>> = {
    'is not a file': (file) => execFileSync('mkfifo', [file]),
    'it is not a file': (file) => symlinkSync('/dev/zero', file),
    'it is a folder': (file) => mkdirSync(file),
    'it is larger than 65,536 bytes': (file) => {
      writeFileSync(file, 'app: shop')
      truncateSync(file, 2 ** 40)
    },
    ELOOP: (file) => symlinkSync(file, file),
  }
  for (const [why, set] of Object.entries(traps)) {
    const folder = place(t)
    set(join(folder, 'cutover.yaml'))
    // As many as Node has threads for files: each that waited would take one away.
    for (let times = 0; times < 5; times++) {
      await assert.rejects(readConfig(folder), { kind: 'usage', message: new RegExp(why) })
      await assert.rejects(client.appMeant(folder), { kind: 'refused' })
    }
  }
})

test('rules that would take for ever, or memory without end, are refused', { skip }, async (t) => {
  const slow = shop(t, { [`${'a/'.repeat(60)}file`]: 'x', '.cutoverignore': `${'**/a/'.repeat(12)}**/b` })
  await assert.rejects(copyRelease(slow), refusedFor(/\.cutoverignore the pattern .* has more than 3 "\*\*"/))
  const large = shop(t, { '.cutoverignore': 'x\n'.repeat(1_000_000) })
  await assert.rejects(copyRelease(large), refusedFor(/larger than 1,000,000 bytes/))
  const deep = shop(t, { [`${'a/'.repeat(150)}file`]: 'x' })
  await assert.rejects(copyRelease(deep), refusedFor(/nested deeper than 100 folders/))
})

test("root's own files in somebody's folder are not copied for them, moved, linked or just there", {
  skip,
}, async (t) => {
  const request = { ...shop(t, { 'server.js': 'theirs' }), user: nobody }
  giveTo(request.from, nobody.uid)
  make(request.from, { 'vault/key': 'secret', 'moved.key': 'secret' })
  chmodSync(join(request.from, 'vault'), 0o700)
  chmodSync(join(request.from, 'moved.key'), 0o600)
  await assert.rejects(
    copyRelease(request),
    refusedFor(/moved\.key: it belongs to uid 0.*\n.*vault: it belongs to uid 0/),
  )
  assert.equal(existsSync(request.to), false)
  await copyRelease({ ...request, ignore: ['vault', 'moved.key'] })
  assert.deepEqual(readdirSync(request.to), ['server.js'])
})

test('a file that is exchanged between the look and the copy is judged again', { skip }, async (t) => {
  const { from, root } = shop(t, { 'server.js': 'theirs' })
  giveTo(from, nobody.uid)
  writeFileSync(join(root, 'secret'), 'secret', { mode: 0o600 })
  const readers = await readersOf(nobody.uid, nobody.uid)
  const request = { root: from, identity: statSync(from), rules: null, home: statSync(root), readers }
  const { folders } = await surveyFolder(request)
  rmSync(join(from, 'server.js'))
  linkSync(join(root, 'secret'), join(from, 'server.js'))
  const copy = copyTree({ root: from, folders, into: join(root, 'copy'), owner: nobody, readers })
  await assert.rejects(copy, refusedFor(/server\.js: it belongs to uid 0/))
  assert.deepEqual(readdirSync(join(root, 'copy')), [])
})

/** A link that leads to a folder of nobody's and to one of root's in turn, each with a file that says whose it is, and the copy through it. */
function exchangedFolder(t: TestContext) {
  const above = place(t)
  const app = join(above, 'app')
  const owners = { theirs: nobody.uid, roots: 0 } as const
  type Whose = keyof typeof owners
  for (const whose of ['theirs', 'roots'] as const) {
    make(above, { [`${whose}/whose`]: whose })
    giveTo(join(above, whose), owners[whose])
  }
  const request = { ...shop(t, {}, above), from: app }
  return {
    above,
    app,
    leadTo(whose: Whose) {
      symlinkSync(whose, `${app}.next`)
      renameSync(`${app}.next`, app)
    },
    /** Copies it as that owner's. */
    copyAs: (owner: User, to: string) =>
      copyRelease({ ...request, to, folderOwner: owner.uid, user: owner.uid === 0 ? null : owner }),
  }
}

test('a folder that is exchanged after it was seen whose it is is not copied', { skip }, async (t) => {
  const { above, app, leadTo, copyAs } = exchangedFolder(t)
  for (const [seen, then] of [
    ['theirs', 'roots'],
    ['roots', 'theirs'],
  ] as const) {
    const to = join(above, 'home', 'releases', seen, 'v1')
    leadTo(seen)
    const owner = ownerOf(app)
    leadTo(then)
    await assert.rejects(copyAs(owner, to), /was replaced by something else/)
    leadTo(seen)
    await copyAs(owner, to)
    assert.equal(readFileSync(join(to, 'whose'), 'utf8'), seen)
  }
})

test('a folder that is exchanged all the while never runs as the owner of another one', { skip }, async (t) => {
  const { above, app, leadTo, copyAs } = exchangedFolder(t)
  leadTo('theirs')
  const exchange = `
    const { symlinkSync, renameSync } = require('node:fs')
    for (;;) for (const whose of ['roots', 'theirs']) {
      symlinkSync(whose, '${app}.next')
      renameSync('${app}.next', '${app}')
    }`
  const exchanger = spawn(process.execPath, ['-e', exchange], { stdio: 'ignore' })
  const ended = once(exchanger, 'exit')
  try {
    for (let turn = 0; turn < 60; turn++) {
      const owner = ownerOf(app)
      const to = join(above, 'home', 'releases', 'shop', `v${turn}`)
      const copied = await copyAs(owner, to).then(
        () => true,
        () => false,
      )
      if (copied) assert.equal(readFileSync(join(to, 'whose'), 'utf8'), owner.uid === 0 ? 'roots' : 'theirs')
      assert.equal(existsSync(to), copied)
    }
    assert.equal(exchanger.exitCode, null, 'nobody exchanged it any more')
  } finally {
    exchanger.kill('SIGKILL')
    await ended
  }
})

test('an env_file is judged by the folder that it was decided for', { skip }, async (t) => {
  const { from, root } = shop(t, { sly: '-> ../secret.env' })
  make(root, { 'secret.env': 'TOKEN=roots' })
  chmodSync(join(root, 'secret.env'), 0o600)
  // The folder looks like root's at this moment; it was not when whose the app is was decided.
  const read = readEnvFiles({ folder: from, folderOwner: nobody.uid, files: ['sly'], user: nobody })
  await assert.rejects(read, /belongs to uid 0/)
})

test("an app that runs as root from somebody else's folder is warned of", { skip }, async (t) => {
  const node = await startNode(t)
  const folder = shopFolder(t, { config: 'user: root' })
  assert.deepEqual((await node.deploy(folder)).warnings, [])
  giveTo(folder, nobody.uid)
  const { warnings } = await node.deploy(folder)
  assert.match(warnings.join(), /runs as root, and its folder belongs to nobody, who thereby is as good as root/)
})

test('what a build leaves behind is removed with its release, and nothing that it leads to', {
  skip: skip || needs('python3'),
}, async (t) => {
  const node = await startNode(t)
  chmodSync(node.place.home, 0o755)
  const outside = place(t)
  writeFileSync(join(outside, 'precious'), 'as it was')
  chmodSync(outside, 0o777)
  const build = `
import os
os.symlink('${outside}', 'folder'); os.symlink('${outside}/precious', 'file'); os.symlink('/', 'all')
os.mkfifo('fifo'); os.link('${outside}/theirs', 'linked'); os.mkdir('closed', 0)
open('suid', 'w').close(); os.chmod('suid', 0o6777)
for name in ['deep'] + ['d'] * 3000: os.mkdir(name); os.chdir(name)`
  writeFileSync(join(outside, 'theirs'), 'theirs')
  chownSync(join(outside, 'theirs'), nobody.uid, nobody.gid)
  const folder = shopFolder(t, {
    config:
      'user: nobody\nrun: [/usr/bin/python3, -m, http.server, "8080"]\nbuild: [/usr/bin/python3, build.py]\nshared: [kept]',
    files: { 'build.py': build },
  })
  await node.deploy(folder)
  const release = join(node.place.home, 'releases', 'shop', 'v1')
  assert.equal(statSync(join(release, 'suid')).uid, nobody.uid, 'whoever runs it is only who made it')
  await node.operate('remove', 'shop')
  assert.equal(existsSync(join(node.place.home, 'releases', 'shop')), false)
  assert.equal(readFileSync(join(outside, 'precious'), 'utf8'), 'as it was')
  assert.equal(statSync(join(outside, 'precious')).uid, 0)
  assert.equal(readFileSync(join(outside, 'theirs'), 'utf8'), 'theirs')
})

test('no name, label, log or output touches the terminal of whoever looks', { skip }, async (t) => {
  const node = await startNode(t)
  const { home } = node.place
  const obeyed = '\u001b]0;owned\u0007\u001b[2J\u009b2J\u202e'
  const folder = shopFolder(t, {
    config: `build: [node, -e, 'console.log(${JSON.stringify(obeyed)})']\ndeploy_timeout: 3s`,
    server: `console.log(${JSON.stringify(obeyed)})\n${goodServer}`,
  })
  execFileSync('mkfifo', [join(folder, `fifo\n${obeyed}`)])
  const said: string[] = []
  const run = async (...args: string[]) => {
    const { stdout, stderr } = await cutover(args, { home, cwd: folder })
    said.push(stdout, stderr)
  }
  await run('deploy', '--label', obeyed, '--by', obeyed)
  writeFileSync(join(folder, 'server.mjs'), `console.log(${JSON.stringify(obeyed)}); process.exit(1)`)
  await run('deploy', '--json')
  for (const command of ['status', 'history', 'logs']) for (const json of [[], ['--json']]) await run(command, ...json)
  writeFileSync(
    join(folder, 'cutover.yaml'),
    `app: shop\n"${obeyed.replaceAll('\u001b', '\\e').replaceAll('\u0007', '\\a')}": 1`,
  )
  await run('validate')
  await run('deploy', obeyed)
  await run(obeyed)
  const text = said.join('')
  assert.ok(text.includes('owned'), 'nobody said it at all')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  assert.deepEqual(text.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/g), null)
})
