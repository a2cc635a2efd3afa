import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { copyRelease } from '../../src/store/files/copy.ts'
import { everything, make, shop } from './files-fixture.ts'

const root = process.getuid?.() === 0
const nobody = { uid: 65534, gid: 65534 }

test('what is shared is filled from the folder once, linked into each release, and never overwritten', async (t) => {
  const request = {
    ...shop(t, { 'a.txt': 'a', 'uploads/one.png': '1', 'data/db.sqlite': 'rows' }),
    shared: ['uploads', 'data/db.sqlite'],
  }
  const { files, bytes } = await copyRelease(request)
  assert.deepEqual([files, bytes], [1, 1])
  assert.deepEqual(everything(request.to), ['a.txt', 'data/', 'data/db.sqlite', 'uploads'])
  assert.equal(readlinkSync(join(request.to, 'uploads')), join(request.sharedRoot, 'uploads'))
  assert.equal(readFileSync(join(request.to, 'uploads/one.png'), 'utf8'), '1')
  assert.equal(readFileSync(join(request.to, 'data/db.sqlite'), 'utf8'), 'rows')

  writeFileSync(join(request.to, 'uploads/two.png'), '2')
  writeFileSync(join(request.to, 'data/db.sqlite'), 'more rows')
  rmSync(join(request.to, 'uploads/one.png'))
  await copyRelease({ ...request, to: `${request.to}2` })
  assert.deepEqual(everything(request.sharedRoot), ['data/', 'data/db.sqlite', 'uploads/', 'uploads/two.png'])
  assert.equal(readFileSync(join(`${request.to}2`, 'data/db.sqlite'), 'utf8'), 'more rows')
  assert.deepEqual(
    everything(join(request.home, 'shared')).filter((path) => path.includes('partial')),
    [],
  )
})

test('what the folder does not have begins as an empty folder, or is left to the app if it looks like a file', async (t) => {
  const request = { ...shop(t, { 'a.txt': 'a' }), shared: ['uploads', 'data/db.sqlite', 'v1.2/', '.cache'] }
  await copyRelease(request)
  assert.deepEqual(everything(request.sharedRoot), ['.cache/', 'data/', 'uploads/', 'v1.2/'])
  writeFileSync(join(request.to, 'data/db.sqlite'), 'first')
  assert.equal(readFileSync(join(request.sharedRoot, 'data/db.sqlite'), 'utf8'), 'first')
})

test('the journal of a database comes with it', async (t) => {
  const request = { ...shop(t, { 'app.db': 'db', 'app.db-wal': 'wal', 'app.db-shm': 'shm' }), shared: ['app.db'] }
  await copyRelease(request)
  assert.deepEqual(everything(request.to), ['app.db'])
  assert.deepEqual(everything(request.sharedRoot), ['app.db', 'app.db-shm', 'app.db-wal'])
})

test('a folder that is itself a link elsewhere is shared from there', async (t) => {
  const request = { ...shop(t, { uploads: '-> ../elsewhere' }), shared: ['uploads'] }
  make(request.root, { 'elsewhere/x': 'x' })
  await copyRelease(request)
  assert.equal(readFileSync(join(request.to, 'uploads/x'), 'utf8'), 'x')
})

test('what is shared is filled even if a rule leaves it out of releases', async (t) => {
  const request = { ...shop(t, { 'var/uploads/x': 'x', '.gitignore': 'var' }), hasBuild: true, shared: ['var/uploads'] }
  await copyRelease(request)
  assert.deepEqual(everything(request.to), ['.gitignore', 'var/', 'var/uploads'])
  assert.equal(readFileSync(join(request.to, 'var/uploads/x'), 'utf8'), 'x')
})

test('paths that are no place inside the folder are refused', async (t) => {
  const request = shop(t, { 'a.txt': 'a', data: '-> a.txt' })
  for (const shared of ['/etc', '../x', 'a/../../x', '.', '', '.git', 'data/x', 'a.txt/x'])
    await assert.rejects(copyRelease({ ...request, shared: [shared] }), { name: 'CutoverError' }, shared)
  assert.deepEqual(everything(request.home), [])
})

test('a path inside another shared one is shared with it', async (t) => {
  const request = { ...shop(t, { 'uploads/img/x': 'x' }), shared: ['uploads/img', 'uploads/', 'uploads'] }
  await copyRelease(request)
  assert.deepEqual(everything(request.to), ['uploads'])
})

test('a copy that fails takes back what it had begun to share', async (t) => {
  const request = { ...shop(t, { 'uploads/x': 'x', 'a.txt': 'a' }), shared: ['uploads', 'data/db.sqlite'] }
  make(request.to, { 'in the way': 'x' })
  await assert.rejects(copyRelease(request), /directory not empty/)
  assert.deepEqual(everything(request.sharedRoot), [])
  rmSync(request.to, { recursive: true })
  await copyRelease(request)
  assert.equal(readFileSync(join(request.to, 'uploads/x'), 'utf8'), 'x')
})

test('what is shared belongs to the user, and a trap in it does not make the daemon write elsewhere', {
  skip: !root && 'needs root',
}, async (t) => {
  const request = { ...shop(t, { 'data/deep/db.sqlite': 'db' }), shared: ['data/deep/db.sqlite'], user: nobody }
  await copyRelease(request)
  for (const path of ['', 'data', 'data/deep', 'data/deep/db.sqlite'])
    assert.equal(lstatSync(join(request.sharedRoot, path)).uid, 65534)
  assert.equal(statSync(join(request.home, 'shared')).uid, 0)
  execFileSync('setpriv', [
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    'sh',
    '-c',
    `echo x > ${request.to}/data/deep/db.sqlite`,
  ])

  rmSync(join(request.sharedRoot, 'data'), { recursive: true })
  mkdirSync(join(request.root, 'etc'))
  symlinkSync(join(request.root, 'etc'), join(request.sharedRoot, 'data'))
  await copyRelease({ ...request, to: `${request.to}2` })
  assert.deepEqual(everything(join(request.root, 'etc')), [])
  assert.equal(statSync(join(request.root, 'etc')).uid, 0)
})

test('what is shared is as private as the folder it came from', async (t) => {
  const request = { ...shop(t, { 'uploads/x': 'x' }), shared: ['uploads'] }
  chmodSync(request.from, 0o700)
  await copyRelease(request)
  assert.equal(statSync(request.sharedRoot).mode & 0o777, 0o700)
})
