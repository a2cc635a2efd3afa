import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { copyRelease } from '../../src/store/files/copy.ts'
import { everything, make, shop } from './files-fixture.ts'

const tree = {
  'server.js': '',
  'dist/main.js': '',
  'node_modules/x/index.js': '',
  'packages/a/out/x': '',
  'packages/a/keep/out/x': '',
  'packages/a/.gitignore': 'out/\n!keep/out/\n',
  'Dist/x': '',
  'debug.log': '',
  '.gitignore': '/dist\nnode_modules/\n*.log\n',
}
const all = Object.keys(tree).sort()
const files = (root: string) => everything(root).filter((path) => !path.endsWith('/'))
const without = (...gone: string[]) => all.filter((path) => !gone.some((prefix) => path.startsWith(prefix)))

test('without a build what .gitignore names belongs to the release', async (t) => {
  const request = shop(t, tree)
  await copyRelease(request)
  assert.deepEqual(files(request.to), all)
})

test('with a build what .gitignore files name stays out, each for its own folder, and it is said by whom', async (t) => {
  const request = { ...shop(t, tree), hasBuild: true }
  const { leftOut } = await copyRelease(request)
  assert.deepEqual(files(request.to), without('dist', 'node_modules', 'debug.log', 'packages/a/out'))
  assert.deepEqual(
    leftOut.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    [
      { path: 'debug.log', by: '.gitignore' },
      { path: 'dist/', by: '.gitignore' },
      { path: 'node_modules/', by: '.gitignore' },
      { path: 'packages/a/out/', by: 'packages/a/.gitignore' },
    ],
  )
})

test('.cutoverignore counts with and without a build, and then .gitignore does not', async (t) => {
  const request = shop(t, { ...tree, '.cutoverignore': 'packages\n!packages/b\n' })
  for (const hasBuild of [false, true]) {
    const to = `${request.to}${hasBuild}`
    await copyRelease({ ...request, to, hasBuild })
    assert.deepEqual(files(to), ['.cutoverignore', ...without('packages')].sort())
  }
})

test('the key ignore has the last word, both ways', async (t) => {
  const request = { ...shop(t, tree), hasBuild: true, ignore: ['packages/', '!dist', '# no comment', ''] }
  await copyRelease(request)
  assert.deepEqual(files(request.to), without('node_modules', 'debug.log', 'packages'))
})

test('what a rule leaves out is not looked into', async (t) => {
  const request = { ...shop(t, tree), ignore: ['venv'] }
  make(request.from, { 'venv/bin/python': '-> /usr/bin/python3' })
  await copyRelease(request)
  assert.ok(!everything(request.to).some((path) => path.startsWith(join('venv'))))
})
