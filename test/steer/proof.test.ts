/** A port that Cutover does not own is never affected, whatever is in the maps. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CutoverError } from '../../src/core/errors.ts'
import { type KernelObject, loadProgram, objectInfo } from '../../src/linux/bpf.ts'
import { loadPrograms, readObject } from '../../src/linux/bpf-object.ts'
import { type Kernel, openKernel } from '../../src/strategies/steer/kernel.ts'
import {
  layoutVersion,
  placeKey,
  portKey,
  portValue,
  releaseKey,
  seatsValue,
  siteValue,
  u32,
  u64,
} from '../../src/strategies/steer/layout.ts'
import { proveHarmless } from '../../src/strategies/steer/proof.ts'
import { maxAlive } from '../../src/strategies/steering.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { startApp, startSteering, temporaryBpffs } from './fixtures.ts'

const skip = asRoot || needs('python3')

/** The kernel's part, and a copy of the look-up program on the same maps. */
function opened(t: TestContext): { readonly kernel: Kernel; readonly lookup: KernelObject } {
  const kernel = openKernel(join(temporaryBpffs(t), 'pins'))
  t.after(() => kernel[Symbol.dispose]())
  const lookup = loadPrograms(readObject(new URL('../../bpf/lookup.o', import.meta.url)), kernel.maps).lookup?.program
  assert.ok(lookup)
  t.after(() => lookup[Symbol.dispose]())
  return { kernel, lookup }
}

/** A program of `return verdict`. */
const always = (verdict: number): KernelObject =>
  loadProgram('sk_lookup', Buffer.concat([u32(0xb7, verdict), u32(0x95, 0)]), 'always')

const own = [80, 8080, 65_535] as const

test('the verifier needs a fraction of what it may look at, so that those of older kernels, which look at more, load the programs too', {
  skip,
}, (t) => {
  const { kernel, lookup } = opened(t)
  const programs = { lookup, nobody: kernel.loaded?.nobody[0], group: kernel.group, ...hooksOf(kernel) }
  for (const [name, program] of Object.entries(programs)) {
    assert.ok(program)
    const looked = objectInfo(program).readUInt32LE(verifiedInstructions)
    assert.ok(looked > 0 && looked < mostVerified, `${name}: ${looked}`)
  }
})

/** Where `struct bpf_prog_info` has `verified_insns`. */
const verifiedInstructions = 216
/** A kernel gives up at 1,000,000. Linux 6.1 looks at up to twice as many as 6.18. */
const mostVerified = 250_000

const hooksOf = ({ hooks }: Kernel) =>
  Object.fromEntries(Object.entries(hooks).map(([name, { program }]) => [name, program]))

test('with empty maps no port is affected', { skip: asRoot }, (t) => {
  const { lookup } = opened(t)
  proveHarmless(lookup, new Set())
})

test('with full maps no port but the apps’ own is affected', { skip: asRoot }, (t) => {
  const { kernel, lookup } = opened(t)
  const { maps } = kernel
  for (let app = 1; app < 256; app++) {
    maps.apps.set(u32(app), Buffer.from([1, 0, 2, 0, 0, 0, 3, 0]))
    maps.alive.set(u32(app), Buffer.from(Array.from({ length: maxAlive * 2 }, (_, i) => (i % 2 === 0 ? i / 2 + 1 : 0))))
    maps.holds.set(u32(app), u64(5_000_000_000n, 1n))
  }
  // As many ports and rows as the maps take: every fourth port, with 64 places that nobody is in.
  const many = Array.from({ length: 16_383 }, (_, i) => 4 * (i + 1))
  for (const port of many) {
    const place = { ref: { app: 1 + (port % 255), release: 1 }, port, n: 0 }
    maps.ports.set(portKey(port), portValue(place.ref.app, port % 8 === 0))
    maps.seats.set(placeKey(place), seatsValue(64))
    maps.sites.set(placeKey(place), siteValue({ address: port % 8 === 0 ? '::' : null, park: 0xffff_ffff_ffff_ffffn }))
    maps.owners.set(placeKey(place), u64(1n, 2n, 0n))
    maps.stamps.set(placeKey({ ...place, ref: { ...place.ref, release: 0 } }), u64(1n, 1n))
  }
  for (let i = 0; i < 20_000; i++) maps.who.set(randomBytes(40), u32(releaseKey({ app: 1, release: 2 }), 0))
  proveHarmless(lookup, new Set(many))
})

test('with garbage in every map no port but the apps’ own is affected', { skip: asRoot }, (t) => {
  const { kernel, lookup } = opened(t)
  const { maps } = kernel
  for (let app = 0; app < 256; app++) {
    maps.apps.set(u32(app), randomBytes(8))
    maps.alive.set(u32(app), randomBytes(maxAlive * 2))
    maps.holds.set(u32(app), randomBytes(16))
  }
  for (const port of own) maps.ports.set(portKey(port), randomBytes(4))
  for (let i = 0; i < 4000; i++) {
    maps.seats.set(randomBytes(8), randomBytes(32))
    maps.sites.set(randomBytes(8), randomBytes(32))
    maps.owners.set(randomBytes(8), randomBytes(24))
    maps.stamps.set(randomBytes(8), randomBytes(16))
    maps.who.set(randomBytes(40), randomBytes(8))
    maps.turns.set(randomBytes(40), randomBytes(8))
  }
  proveHarmless(lookup, new Set(own))
})

test('a program that refuses everything, or chooses for others, is found out before it is attached', {
  skip,
}, async (t) => {
  using drop = always(0)
  using pass = always(1)
  proveHarmless(pass, new Set())
  assert.throws(
    () => proveHarmless(drop, new Set()),
    (error) =>
      error instanceof CutoverError &&
      error.kind === 'failed' &&
      /TCP port 1 over IPv4.*not attached/.test(error.message),
  )

  // The real program, told that a steered port is nobody's: it refuses while the release is dark, and chooses a socket once it is active.
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const app = await startApp(t, node.release({ app: 1, release: 1 }), 'v1')
  await app.run(`listen('127.0.0.1', 8080)`)
  using kernel = openKernel(node.pins)
  const lookup = loadPrograms(readObject(new URL('../../bpf/lookup.o', import.meta.url)), kernel.maps).lookup?.program
  assert.ok(lookup)
  using _closed = lookup
  proveHarmless(lookup, new Set([8080]))
  assert.throws(() => proveHarmless(lookup, new Set()), /TCP port 8080 over IPv4/)
  steering.switchTo(1, 1, { hold: false })
  proveHarmless(lookup, new Set([8080]))
  assert.throws(() => proveHarmless(lookup, new Set()), /TCP port 8080 over IPv4/)
})

test('what was left half made is made anew, and what is whole is found', { skip: asRoot }, (t) => {
  const node = startSteering(t)
  node.steering.addApp(3, { ports: [81], holdMs: 0 })
  const root = join(node.pins, String(layoutVersion))
  assert.deepEqual(node.reopen().ports(3), [{ port: 81, declared: true }])
  assert.ok(existsSync(join(root, 'links', 'lookup')))
  rmSync(join(root, 'links', 'lookup'))
  assert.deepEqual(node.reopen().ports(3), [])
})
