import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { getPinned, loadProgram, pin, prepareRun } from '../../src/linux/bpf.ts'
import { createConstants, createMap, openMap } from '../../src/linux/bpf-map.ts'
import { loadPrograms, readObject } from '../../src/linux/bpf-object.ts'
import { SystemError } from '../../src/linux/ffi.ts'
import { mountBpffs, unmount } from '../../src/linux/mounts.ts'
import { asRoot } from '../support/namespace.ts'
import { temporaryDirectory } from '../support/workspace.ts'

const skip = asRoot
/** BPF_MAP_TYPE_HASH with two entries at most. */
const small = { type: 1, keySize: 4, valueSize: 8, maxEntries: 2, flags: 0 }
const key = (value: number) => Buffer.from([value, 0, 0, 0])
const value = (byte: number) => Buffer.alloc(8, byte)
const objectAt = (name: string) => readObject(new URL(`../../bpf/${name}.o`, import.meta.url))

/** `r0 = verdict; exit` */
const returning = (verdict: number) => Buffer.from([0xb7, 0, 0, 0, verdict, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])

test('a map keeps what is written, adds only what is absent, tells what it has, and says when it is full', {
  skip,
}, () => {
  using map = createMap(small, 'test')
  assert.equal(map.get(key(1)), null)
  map.set(key(1), value(1))
  assert.equal(map.add(key(1), value(2)), false)
  assert.deepEqual(map.get(key(1)), value(1))
  assert.equal(map.add(key(2), value(2)), true)
  assert.deepEqual(
    map
      .keys()
      .map((one) => one[0])
      .toSorted(),
    [1, 2],
  )
  assert.throws(() => map.set(key(3), value(3)), { name: 'SystemError', code: 'E2BIG' })
  assert.equal(map.delete(key(1)), true)
  assert.equal(map.delete(key(1)), false)
})

test('constants cannot be changed any more', { skip }, () => {
  using constants = createConstants(value(7))
  assert.deepEqual(constants.get(key(0)), value(7))
  assert.throws(() => constants.set(key(0), value(8)), { code: 'EPERM' })
})

test('what is pinned outlives its descriptor, under one name', { skip }, (t) => {
  const bpffs = join(temporaryDirectory(t), 'bpf')
  mountBpffs(bpffs)
  try {
    const path = join(bpffs, 'map')
    {
      using map = createMap(small, 'test')
      map.set(key(1), value(5))
      pin(map, path)
      assert.throws(() => pin(map, path), { code: 'EEXIST' })
    }
    using again = openMap(path, small)
    assert.deepEqual(again.get(key(1)), value(5))
    assert.throws(() => getPinned(join(bpffs, 'nothing')), { code: 'ENOENT' })
  } finally {
    unmount(bpffs)
  }
})

test('a program runs on a context and gives its verdict', { skip }, () => {
  for (const verdict of [0, 1]) {
    using program = loadProgram('sk_lookup', returning(verdict), 'test')
    const context = Buffer.alloc(72)
    context.writeUInt32LE(2, 8)
    context.writeUInt32LE(6, 12)
    assert.equal(prepareRun(program, context, Buffer.alloc(72))(), verdict)
  }
})

test('a program that the verifier refuses is an error with its words', { skip }, () => {
  assert.throws(
    () => loadProgram('sk_lookup', returning(7), 'test'),
    (error) => error instanceof SystemError && error.code === 'EINVAL' && /should have been in/.test(error.message),
  )
})

test('the programs that are checked in are read, and every map has one description in all of them', () => {
  const objects = ['lookup', 'nobody', 'group', 'hooks'].map(objectAt)
  assert.deepEqual(objects.flatMap(({ programs }) => programs.map(({ name }) => name)).toSorted(), [
    'bind4',
    'bind6',
    'group',
    'lookup',
    'nobody',
    'setsockopt',
    'sock_create',
    'sock_ops',
  ])
  for (const { maps } of objects)
    for (const [name, definition] of Object.entries(maps))
      for (const other of objects) assert.deepEqual(other.maps[name] ?? definition, definition, name)
})

test('a program without one of its maps is not loaded, and what is no object file is refused', (t) => {
  assert.throws(() => loadPrograms(objectAt('group'), {}), /no map/)
  const file = join(temporaryDirectory(t), 'wrong.o')
  writeFileSync(file, readFileSync(new URL(import.meta.url)))
  assert.throws(() => readObject(file), /not a 64-bit little-endian ELF file/)
})
