import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { copyRelease } from '../../src/store/files/copy.ts'
import { removeLeftovers, removeRelease, removeTree } from '../../src/store/files/remove.ts'
import { needs } from '../support/packages.ts'
import { everything, make, shop } from './files-fixture.ts'

const root = process.getuid?.() === 0

test('a removed release is gone, what it had links to stays', async (t) => {
  const request = { ...shop(t, { 'sub/a.txt': 'a', link: '-> sub', 'uploads/x': 'x' }), shared: ['uploads'] }
  chmodSync(join(request.from, 'sub'), 0o500)
  await copyRelease(request)
  make(request.root, { 'elsewhere/y': 'y' })
  make(request.to, { away: `-> ${request.root}/elsewhere` })
  await removeRelease(request.to)
  await removeRelease(request.to)
  assert.equal(existsSync(request.to), false)
  assert.equal(readFileSync(join(request.sharedRoot, 'uploads/x'), 'utf8'), 'x')
  assert.equal(readFileSync(join(request.root, 'elsewhere/y'), 'utf8'), 'y')
})

test('a process that still has its working directory in a release does not hinder its removal', async (t) => {
  const request = shop(t, { 'a.txt': 'a' })
  await copyRelease(request)
  const sleeper = spawn('sleep', ['60'], { cwd: request.to, stdio: 'ignore' })
  await once(sleeper, 'spawn')
  t.after(() => sleeper.kill())
  await removeRelease(request.to)
  assert.equal(existsSync(request.to), false)
})

test('half copies and half removals of a daemon that was killed are swept away, and nothing else', async (t) => {
  const { home } = shop(t, {})
  make(home, {
    'releases/shop/v1/a': '',
    'releases/shop/v2.partial/a/b': '',
    'releases/shop/v0.removed/a': '',
    'shared/shop/x': '',
    'shared/shop.partial/0/x': '',
    'releases/shop/v1.env.json.partial': '',
  })
  assert.deepEqual(
    await removeLeftovers([join(home, 'releases/shop'), join(home, 'releases/gone'), join(home, 'shared')]),
    [],
  )
  assert.deepEqual(everything(home), [
    'releases/',
    'releases/shop/',
    'releases/shop/v1/',
    'releases/shop/v1/a',
    'shared/',
    'shared/shop/',
    'shared/shop/x',
  ])
})

test('a copy that was killed half way does not hinder the next one', async (t) => {
  const request = shop(t, { 'a.txt': 'a' })
  make(`${request.to}.partial`, { 'b/c.txt': 'c' })
  await copyRelease(request)
  assert.deepEqual(everything(request.to), ['a.txt'])
})

test('an owner who exchanges folders for links while a release is removed loses nothing elsewhere', {
  skip: root ? false : 'needs root',
}, async (t) => {
  const { root: above } = shop(t, {})
  make(above, { 'precious/f0': 'x', 'precious/sub/f1': 'x' })
  const swap = `cd ${above}/tree || exit; for n in 1 2 3 4 5 6 7 8 9; do mv sub$n was$n; ln -s ../precious sub$n; done`
  for (let n = 0; n < 30; n++) {
    for (let d = 1; d < 10; d++) make(join(above, 'tree'), { [`sub${d}/f0`]: 'x', [`sub${d}/sub/f1`]: 'x' })
    chownSync(join(above, 'tree'), 65534, 65534)
    const swapper = spawn('sh', ['-c', swap], { stdio: 'ignore' })
    const ended = once(swapper, 'exit')
    await removeTree(join(above, 'tree')).catch(() => {})
    await ended
    await removeTree(join(above, 'tree'))
    assert.deepEqual(everything(join(above, 'precious')), ['f0', 'sub/', 'sub/f1'])
  }
})

test('a tree is removed that is nested deeper than paths are long and descriptors are many', {
  skip: needs('python3'),
}, async (t) => {
  const { root: above } = shop(t, {})
  // As a program makes it that goes into each folder.
  const nest = 'import os\nfor name in ["tree"] + ["a"] * 3000: os.mkdir(name); os.chdir(name)'
  execFileSync('python3', ['-c', nest], { cwd: above })
  const open = () => readdirSync('/proc/self/fd').length
  let most = open()
  const watch = setInterval(() => {
    most = Math.max(most, open())
  }, 1)
  await removeTree(join(above, 'tree'))
  clearInterval(watch)
  assert.equal(existsSync(join(above, 'tree')), false)
  assert.ok(most < 300, `${most} descriptors were open`)
})
