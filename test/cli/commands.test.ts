import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { commands, notBuiltYet } from '../../src/cli/commands.ts'
import { createClient } from '../../src/client/client.ts'
import { cutover } from '../support/cutover.ts'
import { daemonHere, daemonProcess, temporaryHome } from '../support/daemons.ts'

const slow = { timeout: 120_000 }

/** A daemon, and folders whose names say what their apps do. */
async function home(t: TestContext) {
  const { place, engine } = await daemonHere(t)
  for (const app of ['shop', 'fails', 'waits', 'chatters']) mkdirSync(join(place.home, app))
  return { home: place.home, engine }
}

test('a deploy looks as promised', slow, async (t) => {
  const { home: at } = await home(t)
  const { code, stdout, stderr } = await cutover(['deploy', 'shop'], { home: at, cwd: at })
  assert.equal(
    stderr,
    [
      'shop v5 · a1b2c3d',
      '  ✓ copy      412 files, 18 MB                    0.1 s',
      '  ✓ cutover   v4 → v5                             5 µs',
      '',
    ].join('\n'),
  )
  assert.equal(
    stdout,
    [
      'shop v5 is live on :8080. v4 stands by: cutover rollback',
      'lost 0 · 14 connections still with v4 · 5.2 s in all',
      '',
    ].join('\n'),
  )
  assert.equal(code, 0)
})

test('a failed deploy looks as promised, and what the app wrote cannot touch the terminal', slow, async (t) => {
  const { home: at } = await home(t)
  const { code, stdout, stderr } = await cutover(['deploy', 'fails'], { home: at, cwd: at })
  assert.equal(
    stderr,
    [
      'fails v5 · a1b2c3d',
      '  ✓ copy      412 files, 18 MB                    0.1 s',
      '  ✗ healthy   GET / answered 500, 31 times       30.0 s',
      '      Error: connect \\x1b]0;title\\x07ECONNREFUSED',
      'fails v5 never went live. Traffic is on v4, as before.',
      '',
    ].join('\n'),
  )
  assert.equal(stdout, '')
  assert.equal(code, 1)
})

test('--quiet says nothing of what went well, and all of what did not', slow, async (t) => {
  const { home: at } = await home(t)
  const there = { home: at, cwd: at }
  assert.deepEqual(await cutover(['deploy', 'shop', '--quiet'], there), { code: 0, stdout: '', stderr: '' })
  assert.deepEqual(await cutover(['deploy', 'fails', '-q'], there), {
    code: 1,
    stdout: '',
    stderr: [
      'fails v5 never went live. Traffic is on v4, as before.',
      '  Error: connect \\x1b]0;title\\x07ECONNREFUSED',
      '',
    ].join('\n'),
  })
})

test('status looks as promised', slow, async (t) => {
  const { home: at } = await home(t)
  assert.match((await cutover(['status'], { home: at })).stdout, /^Nothing is deployed yet/)
  await cutover(['deploy', 'shop'], { home: at, cwd: at })
  const { stdout } = await cutover(['status'], { home: at })
  assert.equal(
    stdout,
    [
      'shop  :8080  steer',
      '  v5  active    3 min   214/s  1,204 open   61 MB  a1b2c3d',
      '  v4  standby   3 min     0/s     12 open   58 MB  77aa01c',
      '',
    ].join('\n'),
  )
})

test('--json prints one document on stdout and nothing else there', slow, async (t) => {
  const { home: at } = await home(t)
  const there = { home: at, cwd: join(at, 'shop') }
  for (const args of [
    ['deploy'],
    ['rollback', '--to', 'v4'],
    ['stop'],
    ['start'],
    ['remove', 'shop', '--yes'],
    ['status'],
    ['history'],
    ['logs', '-n', '3'],
    ['doctor'],
    ['version'],
  ]) {
    const { code, stdout, stderr } = await cutover([...args, '--json'], there)
    assert.equal(code, 0, `${args}: ${stderr}`)
    assert.equal(JSON.parse(stdout).schema, 1)
    assert.equal(stdout.trimEnd().split('\n').length, 1)
  }
  for (const args of [['deploy', '../fails'], ['rollback', '--to', 'nine'], ['promote'], ['no-such-command']]) {
    const { code, stdout, stderr } = await cutover([...args, '--json'], there)
    const { error } = JSON.parse(stdout)
    assert.equal(error.exit_code, code)
    assert(stderr.includes(error.message))
  }
})

test('config shows what a cutover.yaml means, and no value of its env', slow, async (t) => {
  const { home: at } = temporaryHome(t)
  mkdirSync(at, { recursive: true })
  writeFileSync(join(at, 'cutover.yaml'), 'app: shop\nrun: node server.js\nport: 8080\nenv: {TOKEN: hush}\n')
  const { code, stdout } = await cutover(['config', at, '--json'], { home: at })
  assert.equal(code, 0)
  const { config } = JSON.parse(stdout)
  assert.deepEqual([config.hold, config.env], ['5s', { TOKEN: '(hidden)' }])
  assert.match((await cutover(['config'], { home: at, cwd: at })).stdout, /^app: shop\nrun:\n {2}- node\n/)
})

test(
  'init writes a cutover.yaml for what it finds, says from what, and leaves one alone that is there',
  slow,
  async (t) => {
    const { home: at } = temporaryHome(t)
    const [shop, other, empty] = ['shop', 'other', 'empty'].map((name) => join(at, name)) as [string, string, string]
    for (const folder of [shop, other, empty]) mkdirSync(folder, { recursive: true })
    for (const folder of [shop, other]) writeFileSync(join(folder, 'server.js'), 'app.listen(8123)\n')
    writeFileSync(join(shop, 'package.json'), '{"scripts": {"start": "node server.js"}}')
    writeFileSync(join(other, 'Procfile'), 'web: node server.js\n')

    const { code, stdout } = await cutover(['init'], { home: at, cwd: shop })
    assert.equal(code, 0)
    assert.equal(
      stdout,
      [
        `${join(shop, 'cutover.yaml')} is written: shop, a Node server.`,
        "  app   shop            the folder's name",
        '  run   node server.js  package.json, scripts.start',
        '  port  8123            server.js: listen(8123',
        'Look it through, then: cutover deploy',
        '',
      ].join('\n'),
    )
    assert.equal((await cutover(['validate', shop], { home: at })).stdout, 'cutover.yaml is right: shop on :8123.\n')

    const { stdout: document } = await cutover(['init', other, '--json'], { home: at })
    const { schema, file, guessed, config } = JSON.parse(document)
    assert.deepEqual([schema, file], [1, join(other, 'cutover.yaml')])
    assert.deepEqual(guessed[1], { key: 'run', value: 'node server.js', from: 'Procfile, web' })
    assert.equal(readFileSync(file, 'utf8'), config)

    const again = await cutover(['init', other], { home: at })
    assert.equal(again.code, 4)
    assert.match(again.stderr, /is there already/)
    assert.equal(readFileSync(file, 'utf8'), config)
    const nothing = await cutover(['init', empty], { home: at })
    assert.equal(nothing.code, 2)
    assert.match(nothing.stderr, /Nothing in .* says how the app is started/)
  },
)

test('every command has help with examples', slow, async (t) => {
  const { home: at } = temporaryHome(t)
  const overview = (await cutover(['--help'], { home: at })).stdout
  for (const name of Object.keys(commands)) {
    assert.match(overview, new RegExp(`^  ${name} `, 'm'))
    const { code, stdout } = await cutover([name, '--help'], { home: at })
    assert.equal(code, 0)
    assert.match(stdout, /Examples?:\n {2}cutover/)
  }
})

test('what is not built yet is refused in so many words, and wrong usage with exit code 2', slow, async (t) => {
  const { home: at } = temporaryHome(t)
  const refused = [
    ...notBuiltYet.map((name) => [name, 'shop', '--now']),
    ['deploy', '--canary', '10%'],
    ['deploy', '--no-wait'],
  ]
  for (const args of refused) {
    const { code, stderr } = await cutover(args, { home: at })
    assert.match(stderr, /not built yet/)
    assert.equal(code, 2)
  }
  for (const args of [
    ['rolback'],
    ['rollback', '--to', 'v0'],
    ['logs', '-n', '-1'],
    ['logs', '--since', 'noon'],
    ['status', '--x'],
    [],
  ]) {
    assert.equal((await cutover(args, { home: at })).code, 2, args.join(' '))
  }
})

test('a refusal ends with exit code 4 and its reason', slow, async (t) => {
  const { home: at } = await home(t)
  const { code, stderr } = await cutover(['rollback', 'busy'], { home: at })
  assert.equal(stderr, 'v5 of busy is being deployed by alice since 10 s.\n')
  assert.equal(code, 4)
})

test('Ctrl-C during a deploy says what is true and ends with 130', slow, async (t) => {
  const { home: at, engine } = await home(t)
  const { code, stderr } = await cutover(['deploy', 'waits'], {
    home: at,
    cwd: at,
    meanwhile: (child) => child.stderr?.on('data', (chunk) => /waiting/.test(chunk) && child.kill('SIGINT')),
  })
  assert.match(stderr, /Ctrl-C again leaves at once\.\nwaits v5 was interrupted and never went live\. Traffic is on v4/)
  assert.equal(code, 130)
  assert(engine.deeds.includes('interrupted waits'))
})

test(
  'a daemon that goes away while one waits: exit code 6, and the command that tells the truth later',
  slow,
  async (t) => {
    const { child: daemon, place } = await daemonProcess(t)
    const { code, stderr } = await cutover(['deploy', '/srv/waits'], {
      home: place.home,
      meanwhile: (child) => child.stderr?.on('data', (chunk) => /waiting/.test(chunk) && daemon.kill('SIGKILL')),
    })
    assert.match(stderr, /cutover history/)
    assert.equal(code, 6)
  },
)

test('history names who did it: --by, else who used sudo', slow, async (t) => {
  const { home: at, engine } = await home(t)
  await cutover(['deploy', 'shop', '--by', 'Zoë (pager)'], { home: at, cwd: at })
  assert(engine.deeds.includes('deploy shop by Zoë (pager)'))
  const isRoot = process.getuid?.() === 0
  await cutover(['deploy', 'shop'], { home: at, cwd: at, environment: { SUDO_USER: 'zoe' } })
  assert.equal(
    engine.deeds.includes('deploy shop by zoe'),
    isRoot,
    'anybody else would have it that somebody else did it',
  )
})

test('logs are safe to look at, and whole in JSON', slow, async (t) => {
  const { home: at } = await home(t)
  assert.equal((await cutover(['logs', 'shop', '-n', '2'], { home: at })).stdout, 'line 1 \\x1b[2J\nline 2 \\x1b[2J\n')
  const { stdout } = await cutover(['logs', 'shop', '-n', '1', '--json'], { home: at })
  assert.deepEqual(JSON.parse(stdout).lines, [{ release: 5, line: 'line 1 \u001b[2J' }])
})

test(
  'a stream prints one document a line, and a reader that has seen enough ends it without a word',
  slow,
  async (t) => {
    const { home: at } = await home(t)
    let seen = ''
    const { stderr } = await cutover(['logs', 'shop', '-f', '--json'], {
      home: at,
      meanwhile: (child) =>
        child.stdout?.on('data', (chunk) => {
          seen += chunk
          if (seen.split('\n').length > 20) child.stdout?.destroy()
        }),
    }).catch(() => ({ stderr: '' }))
    assert.equal(JSON.parse(seen.split('\n')[10] ?? '').release, 5)
    assert.equal(stderr, '')
  },
)

test('without a terminal an outage that cannot be undone needs --yes', slow, async (t) => {
  const { home: at, engine } = await home(t)
  for (const args of [
    ['remove', 'shop'],
    ['daemon', 'stop', '--all'],
  ]) {
    const { code, stderr } = await cutover(args, { home: at })
    assert.equal(code, 2)
    assert.match(stderr, /--yes/)
  }
  assert.deepEqual(engine.deeds, [])
  assert.equal((await cutover(['stop', 'shop'], { home: at })).code, 0)
  assert.equal((await cutover(['remove', 'shop', '--yes'], { home: at })).code, 0)
})

test('daemon stop ends the daemon, and waits until its process has ended', slow, async (t) => {
  const { child, place } = await daemonProcess(t)
  const { code, stdout } = await cutover(['daemon', 'stop'], { home: place.home })
  assert.equal(code, 0)
  assert.match(stdout, /Apps and traffic go on/)
  assert.equal(await createClient({ place, start: null }).daemon(), null)
  assert.equal(child.exitCode ?? 0, 0)
  assert.match((await cutover(['daemon', 'stop'], { home: place.home })).stdout, /No daemon runs/)
})

test('a second daemon of the same version exits 4', {
  ...slow,
  skip: process.getuid?.() !== 0 && 'needs root',
}, async (t) => {
  const { place } = await daemonProcess(t)
  const { code, stderr } = await cutover(['daemon'], { home: place.home })
  assert.match(stderr, /runs already/)
  assert.equal(code, 4)
})

test('whoever may not talk to the daemon is told who may, exit code 3', {
  ...slow,
  skip: process.getuid?.() !== 0 && 'needs root',
}, async (t) => {
  const { home: at } = await home(t)
  chmodSync(at, 0o755)
  const { code, stderr } = await cutover(['status'], { home: at, uid: 4711 })
  assert.match(stderr, /4711 may not talk to the daemon .* root and members of the group root may/)
  assert.equal(code, 3)
  const elsewhere = await cutover(['status'], { home: '/there-is-no-such-home', uid: 4711 })
  assert.match(elsewhere.stderr, /No daemon runs in .*, and you may not start one/)
  assert.equal(elsewhere.code, 3)
})
