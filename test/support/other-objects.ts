/** The kernel programs of another version: these very ones, but that all they count goes to other counters. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { getPinned, linkInfo, programInfo } from '../../src/linux/bpf.ts'
import { openMap } from '../../src/linux/bpf-map.ts'
import { counterNames, layoutVersion, u32 } from '../../src/strategies/steer/layout.ts'
import { readObjects } from '../../src/strategies/steer/objects.ts'
import { temporaryDirectory } from './workspace.ts'

/** Behind those that Cutover knows. */
const shift = 32

/** Compiles them into a folder of their own, which is gone when the test ends. Needs clang-19 and libbpf-dev. */
export function otherObjects(t: TestContext): URL {
  const folder = temporaryDirectory(t)
  cpSync(fileURLToPath(new URL('../../bpf/', import.meta.url)), folder, { recursive: true })
  const maps = join(folder, 'maps.h')
  const source = readFileSync(maps, 'utf8')
  const changed = source.replace('{ add(which, 1); }', `{ add(which + ${shift}, 1); }`)
  assert.notEqual(changed, source)
  writeFileSync(maps, changed)
  const { status, stderr } = spawnSync('sh', [join(folder, 'build.sh')], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return pathToFileURL(`${folder}/`)
}

/** What the programs of either version counted, by name; what is 0 is left out. */
export function countsOf(pins: string): {
  readonly own: Record<string, number>
  readonly other: Record<string, number>
} {
  using counters = openMap(join(pins, String(layoutVersion), 'maps', 'counters'))
  const from = (first: number) =>
    Object.fromEntries(
      counterNames.flatMap((name, index) => {
        const value = Number(counters.get(u32(first + index))?.readBigUInt64LE(0) ?? 0n)
        return value === 0 ? [] : [[name, value]]
      }),
    )
  return { own: from(0), other: from(shift) }
}

/** That the releases' hooks run the programs that are pinned, and that these are of one set. */
export function assertOneVersion(pins: string, folder: URL): void {
  const root = join(pins, String(layoutVersion))
  const { digest } = readObjects(folder)
  assert.deepEqual(readdirSync(join(root, 'programs')), [digest])
  const pinned = (name: string): number => {
    using program = getPinned(join(root, 'programs', digest, name))
    return programInfo(program).id
  }
  for (const release of readdirSync(join(root, 'releases'))) {
    for (const name of readdirSync(join(root, 'releases', release))) {
      if (name === 'complete') continue
      using link = getPinned(join(root, 'releases', release, name))
      assert.equal(linkInfo(link).program, pinned(name), `${name} of ${release}`)
    }
  }
}
