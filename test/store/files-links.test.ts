import assert from 'node:assert/strict'
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { copyRelease } from '../../src/store/files/copy.ts'
import { everything, shop, type Tree } from './files-fixture.ts'

const inside: Record<string, Tree> = {
  'to a file beside it': { link: '-> a.txt', 'a.txt': 'x' },
  'through the folder above': { 'deep/link': '-> ../a.txt', 'a.txt': 'x' },
  'through another link': { 'deep/link': '-> ../also/a.txt', also: '-> real', 'real/a.txt': 'x' },
  'to the folder itself': { 'deep/link': '-> ..' },
  'to nothing': { link: '-> gone' },
  'to itself': { link: '-> link' },
  'to a file whose name begins with dots': { link: '-> ..a', '..a': 'x' },
}

for (const [what, tree] of Object.entries(inside)) {
  test(`a symbolic link ${what} is kept as it is`, async (t) => {
    const request = shop(t, tree)
    await copyRelease(request)
    for (const [path, text] of Object.entries(tree)) {
      if (text?.startsWith('-> ')) assert.equal(readlinkSync(join(request.to, path)), text.slice(3))
    }
  })
}

const outside: Record<string, Tree> = {
  'to an absolute path': { 'bin/python': '-> /usr/bin/python3' },
  'above the folder': { 'bin/python': '-> ../../other' },
  'above and back': { 'bin/python': '-> ../../shop/a.txt', 'a.txt': 'x' },
  'through a link that leads out': { 'bin/python': '-> ../lib/x', lib: '-> ../..' },
  'through links that stay, and out': { 'bin/python': '-> deep/../../..', 'bin/deep': '-> ../a/b', 'a/b/c': 'x' },
}

for (const [what, tree] of Object.entries(outside)) {
  test(`a symbolic link ${what} is refused by name, and nothing is left behind`, async (t) => {
    const request = shop(t, tree)
    await assert.rejects(copyRelease(request), (error: Error & { kind: string; details: string[] }) => {
      assert.equal(error.kind, 'failed')
      assert.match(error.details.join('\n'), /bin\/python: a symbolic link to .*, which is outside it/)
      return true
    })
    assert.deepEqual(everything(request.home), [])
    await copyRelease({ ...request, ignore: ['bin', 'lib'] })
  })
}

test('an absolute symbolic link into the folder leads into the release', async (t) => {
  const request = shop(t, { 'config/x.txt': 'x' })
  const { from } = shop(t, { 'deep/link': `-> ${request.from}/config/x.txt`, top: `-> ${request.from}` }, request.root)
  await copyRelease({ ...request, from })
  assert.equal(readlinkSync(join(request.to, 'deep/link')), '../config/x.txt')
  assert.equal(readFileSync(join(request.to, 'deep/link'), 'utf8'), 'x')
  assert.equal(readlinkSync(join(request.to, 'top')), '.')
})

test('a symbolic link into what is shared is kept, but not one through it', async (t) => {
  const request = { ...shop(t, { 'public/up': '-> ../uploads/a', 'uploads/a/b.txt': 'x' }), shared: ['uploads'] }
  await copyRelease(request)
  assert.equal(readFileSync(join(request.to, 'public/up/b.txt'), 'utf8'), 'x')
  const through = { ...shop(t, { sly: '-> uploads/../../../x', 'uploads/a': 'x' }), shared: ['uploads'] }
  await assert.rejects(copyRelease(through), /cannot be copied/)
  assert.equal(existsSync(through.to), false)
})
