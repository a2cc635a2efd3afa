import assert from 'node:assert/strict'
import { chmodSync, chownSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { copyRelease } from '../../src/store/files/copy.ts'
import { keepEnvironment, keptEnvironment, readEnvFiles } from '../../src/store/files/environment.ts'
import { environmentFile, removeRelease } from '../../src/store/files/remove.ts'
import { make, shop } from './files-fixture.ts'

const root = process.getuid?.() === 0
const nobody = { uid: 65534, gid: 65534 }

test('of several env files the last one wins', async (t) => {
  const { from, root: above } = shop(t, { '.env': 'A=1\nB="two words" # why\n', 'more.env': 'export B=3\n' })
  make(above, { 'outside.env': 'C=4' })
  const files = ['.env', 'more.env', '../outside.env', join(above, 'outside.env')]
  assert.deepEqual(
    { ...(await readEnvFiles({ folder: from, folderOwner: 0, files, user: null })) },
    { A: '1', B: '3', C: '4' },
  )
})

test('an env file that is missing, no file, too large or that holds a zero byte is refused by name', async (t) => {
  const { from } = shop(t, { folder: null, large: `A=${'x'.repeat(1_000_000)}`, zero: 'A=a\0b' })
  const read = (file: string) => readEnvFiles({ folder: from, folderOwner: 0, files: [file], user: null })
  await assert.rejects(read('gone.env'), { name: 'CutoverError', message: /env_file gone\.env .*no such file/ })
  await assert.rejects(read('folder'), /it is a folder/)
  await assert.rejects(read('large'), /larger than 1,000,000 bytes/)
  await assert.rejects(read('zero'), /zero: line 1 is neither NAME=value/)
})

test('what was read is kept with the release, 0600, and goes with it', async (t) => {
  const request = shop(t, { 'a.txt': 'a' })
  await copyRelease(request)
  assert.deepEqual(await keptEnvironment(request.to), {})
  await keepEnvironment(request.to, { A: '1' })
  await keepEnvironment(request.to, { PASSWORD: 'x\ny' })
  assert.deepEqual(await keptEnvironment(request.to), { PASSWORD: 'x\ny' })
  assert.equal(statSync(environmentFile(request.to)).mode & 0o777, 0o600)
  await removeRelease(request.to)
  assert.equal(existsSync(environmentFile(request.to)), false)
  assert.deepEqual(readdirSync(join(request.home, 'releases/shop')), [])
})

test("a config cannot have files read that neither the folder's owner nor the app's user may read", {
  skip: root ? false : 'needs root',
}, async (t) => {
  const { from, root: above } = shop(t, { '.env': 'A=1', sly: '-> ../closed/secret.env' })
  make(above, { 'closed/secret.env': 'S=1', 'open.env': 'O=1', 'group.env': 'G=1' })
  chownSync(from, 65534, 65534)
  chmodSync(join(above, 'closed'), 0o700)
  const read = async (file: string) => ({
    ...(await readEnvFiles({ folder: from, folderOwner: statSync(from).uid, files: [file], user: nobody })),
  })
  assert.deepEqual(await read('../open.env'), { O: '1' })
  await assert.rejects(read('../closed/secret.env'), /belongs to uid 0/)
  await assert.rejects(read('sly'), /belongs to uid 0/)
  chmodSync(join(above, 'group.env'), 0o640)
  await assert.rejects(read('../group.env'), /belongs to uid 0/)
  chownSync(join(above, 'group.env'), 0, 65534)
  assert.deepEqual(await read('../group.env'), { G: '1' })
  chownSync(join(above, 'closed/secret.env'), 65534, 0)
  assert.deepEqual(await read('../closed/secret.env'), { S: '1' })
  chownSync(join(above, 'closed/secret.env'), 0, 0)
  chownSync(from, 0, 0)
  assert.deepEqual(await read('sly'), { S: '1' }, "root's folder may name any file")
})

test('a file that cannot be written leaves no draft', async (t) => {
  const { root: above } = shop(t, {})
  writeFileSync(join(above, 'file'), '')
  await assert.rejects(keepEnvironment(join(above, 'file', 'v1'), { A: '1' }), { name: 'CutoverError' })
})
