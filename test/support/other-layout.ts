/** Two versions of this very source whose maps have different layouts, each of which knows the other's: what the one moves, the other moves back. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { layoutVersion } from '../../src/strategies/steer/layout.ts'
import { type Checkout, checkout } from './checkout.ts'
import { temporaryDirectory } from './workspace.ts'

export interface Version {
  readonly layout: string
  /** The address of a file of its src/strategies/steer, to import it. */
  module(name: string): string
}

/** Of bpf/maps.h: the maps are larger, or have more room, or hold the same in another order. */
const maps: readonly (readonly [from: string, to: string])[] = [
  ['#define PLACES 65536', '#define PLACES 70000'],
  ['\t__u64 shares;', '\t__u64 shares, unused;'],
  ['\t__u32 mixed;', '\t__u32 mixed, unused[2];'],
  ['\t__u64 epoch;\n\t__u64 since;', '\t__u64 since;\n\t__u64 epoch;'],
  ['\t__u16 flags;\n};\n#define WORD_HOLD', '\t__u16 flags;\n\t__u64 unused;\n};\n#define WORD_HOLD'],
  ['COUNTERS = 64', 'COUNTERS = 128'],
  [
    'APPS *ALIVE * 2, BPF_F_NO_PREALLOC); /* release -> connections accepted',
    'APPS *ALIVE * 3, BPF_F_NO_PREALLOC); /*',
  ],
  ['ALIVE + 2,', 'ALIVE + 3,'],
]

/** Of src/strategies/steer/hold.ts. */
const stamps: readonly (readonly [from: string, to: string])[] = [
  ['stamp?.readBigUInt64LE(0)', 'stamp?.readBigUInt64LE(8)'],
  ['stamp.readBigUInt64LE(8)', 'stamp.readBigUInt64LE(0)'],
  ['u64(epoch, now)', 'u64(now, epoch)'],
]

/** What has changed, told to the version in which the values are so large. */
const told = (owner: number, seats: number, word: number): string => `{
  places: asItIs, tallies: asItIs, counters: known, next: null,
  owners: sized(${owner}), binders: sized(${owner}), seats: sized(${seats}), apps: sized(${word}),
  stamps: (key, value) => [key, Buffer.concat([value.subarray(8), value.subarray(0, 8)])],
}`

/** The version that is under test, and one that comes after it. Needs clang-19 and libbpf-dev. */
export function twoLayouts(t: TestContext): Readonly<Record<'present' | 'next', Version & Checkout>> {
  const numbers = { present: String(layoutVersion), next: String(layoutVersion + 1) }
  const version = (layout: string, former: string, changed: string): Version & Checkout => {
    const made = checkout(t)
    const table = 'export const formerLayouts: ReadonlyMap<string, Changed> = new Map(['
    const sized = 'const sized = (n) => (key, value) => [key, Buffer.concat([value, Buffer.alloc(n)]).subarray(0, n)]'
    const known = 'const known = (key, value) => (key.readUInt32LE(0) < 64 ? [key, value] : null)'
    made.change('strategies/steer/former.ts', table, `${sized}\n${known}\n${table} ['${former}', ${changed}],`)
    return { ...made, layout, module: moduleIn(made.directory) }
  }
  const present = version(numbers.present, numbers.next, told(24, 32, 8))
  const next = version(numbers.next, numbers.present, told(32, 40, 16))
  next.change('strategies/steer/layout.ts', 'layoutVersion = ', `layoutVersion = ${numbers.next} //`)
  for (const [from, to] of stamps) next.change('strategies/steer/hold.ts', from, to)
  for (const [from, to] of maps) next.change('../bpf/maps.h', from, to)
  const { status, stderr } = spawnSync('sh', [join(next.directory, 'bpf/build.sh')], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return { present, next }
}

const moduleIn =
  (directory: string) =>
  (name: string): string =>
    pathToFileURL(join(directory, 'src/strategies/steer', `${name}.ts`)).href

/** The last commit whose maps had layout 5. */
const lastOfLayout5 = '1e21ef8'
const root = fileURLToPath(new URL('../..', import.meta.url))

/** For the `skip` option: false if this is a clone that has it, or the reason. */
export const withoutLayout5: string | false =
  spawnSync('git', ['cat-file', '-e', `${lastOfLayout5}^{tree}`], { cwd: root }).status === 0
    ? false
    : 'needs the history of the repository'

/** An earlier version of this program, as it was. */
export function layout5(t: TestContext): Version {
  const directory = temporaryDirectory(t)
  const archive = execFileSync('git', ['archive', lastOfLayout5, 'src', 'bpf', 'package.json'], {
    cwd: root,
    maxBuffer: 1 << 28,
  })
  execFileSync('tar', ['-x', '-C', directory], { input: archive })
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  return { layout: '5', module: moduleIn(directory) }
}
