import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createLink, getPinned, linkInfo, loadProgram, openTarget, pin, prepareRun } from '../../src/linux/bpf.ts'
import { createConstants, createMap, type MapDefinition, openMap } from '../../src/linux/bpf-map.ts'
import { loadPrograms, readObject } from '../../src/linux/bpf-object.ts'
import { openDescriptors } from '../../src/linux/descriptors.ts'
import { SystemError } from '../../src/linux/ffi.ts'
import { mountBpffs, unmount } from '../../src/linux/mounts.ts'
import { tcpSocket } from '../../src/linux/sockets.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { temporaryDirectory } from '../support/workspace.ts'

const folder = fileURLToPath(new URL('../../bpf', import.meta.url))
const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
/** BPF_MAP_TYPE_HASH */
const hash: MapDefinition = { type: 1, keySize: 4, valueSize: 4, maxEntries: 4, flags: 0 }
/** `r0 = verdict; exit` */
const returning = (verdict: number) => Buffer.from([0xb7, 0, 0, 0, verdict, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
const failsWith = (code: string) => (error: unknown) => error instanceof SystemError && error.code === code

test('a map keeps, adds, lists and deletes; a full one says so', { skip: asRoot }, () => {
  using map = createMap(hash, 'longer_than_the_kernel_takes')
  assert.equal(map.get(word(1)), null)
  map.set(word(1), word(10))
  assert.equal(map.add(word(1), word(11)), false)
  assert.equal(map.add(word(2), word(20)), true)
  assert.deepEqual(map.get(word(1)), word(10))
  assert.deepEqual(
    map
      .keys()
      .map((key) => key.readUInt32LE(0))
      .toSorted(),
    [1, 2],
  )
  assert.equal(map.delete(word(1)), true)
  assert.equal(map.delete(word(1)), false)
  for (const key of [3, 4, 5]) map.set(word(key), word(0))
  assert.throws(() => map.set(word(6), word(0)), failsWith('E2BIG'))
})

test('a map that was closed is nobody else’s, even when its descriptor’s number is used again', {
  skip: asRoot,
}, () => {
  const first = createMap(hash, 'first')
  first[Symbol.dispose]()
  using second = createMap(hash, 'second')
  assert.equal(second.fd, first.fd)
  second.set(word(1), word(1))
  assert.throws(() => first.delete(word(1)), failsWith('EBADF'))
  assert.throws(() => first.set(word(1), word(2)), failsWith('EBADF'))
  assert.deepEqual(first.keys(), [])
  assert.deepEqual(second.get(word(1)), word(1))
})

test('a socket storage keeps a value of each socket, asked for by descriptor', { skip: asRoot }, () => {
  using storage = createMap({ type: 24, keySize: 4, valueSize: 8, maxEntries: 0, flags: 1 }, 'storage')
  using socket = tcpSocket('ipv4')
  using other = tcpSocket('ipv4')
  const value = Buffer.alloc(8, 7)
  storage.set(word(socket.fd), value)
  assert.deepEqual(storage.get(word(socket.fd)), value)
  assert.equal(storage.get(word(other.fd)), null)
  assert.equal(storage.delete(word(socket.fd)), true)
  assert.equal(storage.get(word(socket.fd)), null)
})

test('constants can be read and never changed', { skip: asRoot }, () => {
  using constants = createConstants(word(42))
  assert.deepEqual(constants.get(word(0)), word(42))
  assert.throws(() => constants.set(word(0), word(1)), failsWith('EPERM'))
})

test('what is pinned is found again, and gone with its pin', { skip: asRoot }, (t) => {
  const bpffs = join(temporaryDirectory(t), 'bpf')
  mountBpffs(bpffs)
  try {
    const path = join(bpffs, 'map')
    {
      using map = createMap(hash, 'map')
      map.set(word(7), word(70))
      pin(map, path)
      assert.throws(() => pin(map, path), failsWith('EEXIST'))
      assert.throws(() => pin(map, join(bpffs, 'no.dots')), failsWith('EPERM'))
    }
    using found = openMap(path)
    assert.deepEqual(found.get(word(7)), word(70))
    assert.throws(() => getPinned(join(bpffs, 'nothing')), failsWith('ENOENT'))
  } finally {
    unmount(bpffs)
  }
})

test('a program is run without being attached, and a link knows its namespace', { skip: asRoot }, () => {
  using program = loadProgram('sk_lookup', returning(1), 'pass')
  const context = Buffer.alloc(72)
  context.writeUInt32LE(2, 8)
  context.writeUInt32LE(6, 12)
  assert.equal(prepareRun(program, context, Buffer.alloc(72))(), 1)
  using namespace = openTarget('/proc/self/ns/net')
  using link = createLink(program, 'sk_lookup', namespace.fd)
  assert.equal(linkInfo(link).netns, statSync('/proc/self/ns/net', { bigint: true }).ino)
})

test('a program that the verifier refuses is told with its words, and nothing stays open', { skip: asRoot }, () => {
  const before = openDescriptors()
  assert.throws(
    () => loadProgram('sk_lookup', returning(7), 'seven'),
    (error) =>
      error instanceof SystemError && error.code === 'EINVAL' && /At program exit|should have been/.test(error.message),
  )
  assert.throws(() => loadPrograms(readObject(join(folder, 'lookup.o')), {}), /no map \w+ for lookup/)
  assert.equal(openDescriptors(), before)
})

test('the objects hold what their sources say, all with the same maps', () => {
  const objects = ['lookup', 'nobody', 'group', 'hooks'].map((name) => readObject(join(folder, `${name}.o`)))
  assert.deepEqual(
    objects.map(({ programs }) => programs.map(({ kind }) => kind).toSorted()),
    [
      ['sk_lookup'],
      ['sk_lookup'],
      ['sk_reuseport/migrate'],
      ['cgroup/bind4', 'cgroup/bind6', 'cgroup/setsockopt', 'cgroup/sock_create', 'sockops'],
    ],
  )
  for (const { maps } of objects) assert.deepEqual(maps, objects[0]?.maps)
  assert.equal(Object.keys(objects[0]?.maps ?? {}).length, 18)
})

test('`npm run bpf` makes the objects that are checked in, byte for byte, in any folder', {
  skip: needs('clang-19', 'libbpf-dev'),
}, (t) => {
  const into = temporaryDirectory(t)
  const { status, stderr } = spawnSync('sh', [join(folder, 'build.sh'), into], { cwd: '/', encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  const objects = readdirSync(folder).filter((name) => name.endsWith('.o'))
  assert.equal(objects.length, 4)
  assert.deepEqual(readdirSync(into).toSorted(), objects.toSorted())
  for (const name of objects)
    assert.ok(readFileSync(join(into, name)).equals(readFileSync(join(folder, name))), `${name} differs: npm run bpf`)
})

test('what is no object file is refused', (t) => {
  const file = join(temporaryDirectory(t), 'wrong.o')
  writeFileSync(file, 'something else altogether')
  assert.throws(() => readObject(file), /not a 64-bit little-endian ELF file/)
})
