import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmdirSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { copyRelease } from '../../src/store/files/copy.ts'
import { asRoot } from '../support/namespace.ts'
import { everything, shop } from './files-fixture.ts'

const skip = asRoot

/** An app, and a home on a small disk of its own. */
function smallDisk(t: TestContext, options: string, megabytes: number) {
  const home = mkdtempSync(join(tmpdir(), 'cutover-disk-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'none', home])
  t.after(() => {
    execFileSync('umount', [home])
    rmdirSync(home)
  })
  const request = shop(t, {})
  for (let n = 0; n < megabytes; n++) writeFileSync(join(request.from, `f${n}`), Buffer.alloc(1_000_000, 1))
  return { ...request, home, to: join(home, 'releases/shop/v1'), sharedRoot: join(home, 'shared/shop') }
}

test('a release for which the disk is too small is refused before anything is written', { skip }, async (t) => {
  const request = smallDisk(t, 'size=30m', 20)
  await assert.rejects(copyRelease(request), (error: Error & { kind: string }) => {
    assert.equal(error.kind, 'failed')
    assert.match(
      error.message,
      /on the disk of .*cutover-disk-.*: 3\d\.\d MB are needed \(20\.\d MB for the copy.*and 31\.5 MB are free/,
    )
    return true
  })
  assert.deepEqual(readdirSync(request.home), [])
})

test('what is to be shared needs room as well, once', { skip }, async (t) => {
  const request = { ...smallDisk(t, 'size=40m', 20), shared: ['f0', 'f1', 'f2', 'f3'] }
  await copyRelease(request)
  await assert.rejects(copyRelease({ ...request, to: `${request.to}2` }), /16\.\d MB for the copy/)
})

test('a release with more files than the disk has inodes is refused before anything is written', {
  skip,
}, async (t) => {
  const request = smallDisk(t, 'size=100m,nr_inodes=100', 0)
  for (let n = 0; n < 50; n++) writeFileSync(join(request.from, `f${n}`), '')
  await assert.rejects(copyRelease(request), /not enough inodes .* 115 are needed \(51 for the copy.*and 99 are free/)
  assert.deepEqual(readdirSync(request.home), [])
})

test('a disk that becomes full in the middle is an error with figures, and as empty as before', { skip }, async (t) => {
  const request = { ...smallDisk(t, 'size=60m', 20), shared: ['uploads/x'] }
  const before = statfsSync(request.home).bfree
  // Somebody else fills the disk as soon as the copy has begun.
  const copy = copyRelease(request)
  let full = false
  const watching = async () => {
    while (!existsSync(`${request.to}.partial`)) await new Promise(setImmediate)
    for (const size of [1_000_000, 4096]) {
      try {
        for (;;) appendFileSync(join(request.home, 'other'), Buffer.alloc(size, 1))
      } catch {
        full = true
      }
    }
  }
  await Promise.all([
    watching(),
    assert.rejects(
      copy,
      /The disk became full while .*: 20\.\d MB and 2\d inodes are needed, .* MB and [\d,]+ inodes are free/,
    ),
  ])
  assert.ok(full)
  assert.deepEqual(
    everything(request.home).filter((path) => path !== 'releases/' && path !== 'other'),
    [],
  )
  execFileSync('rm', [join(request.home, 'other')])
  assert.ok(before - statfsSync(request.home).bfree < 10)
})
