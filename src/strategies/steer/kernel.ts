/** The programs and maps that all apps share: found where they are pinned, or loaded, proven, attached and pinned. */
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { failure } from '../../core/errors.ts'
import { createLink, getPinned, type KernelObject, netnsOfLink, openTarget, pin } from '../../linux/bpf.ts'
import { type BpfMap, createMap, openMap } from '../../linux/bpf-map.ts'
import { type BpfObject, type LoadedPrograms, loadPrograms, readObject } from '../../linux/bpf-object.ts'
import { Descriptor } from '../../linux/ffi.ts'
import { layoutVersion, maxAlive, portOfKey, u32 } from './layout.ts'
import { proveHarmless } from './proof.ts'

/** The maps of bpf/maps.h. */
const mapNames = [
  'places',
  'owners',
  'seats',
  'ports',
  'apps',
  'alive',
  'holds',
  'stamps',
  'who',
  'turns',
  'binders',
  'tallies',
  'counters',
  'selves',
  'next',
] as const

export type Maps = Readonly<Record<(typeof mapNames)[number], BpfMap>>

export interface Kernel extends Disposable {
  readonly maps: Maps
  /** The program of the SO_REUSEPORT groups. */
  readonly group: KernelObject
  /** Where the releases' hooks are pinned. */
  readonly releases: string
  /** The programs of the releases' cgroups, by name. */
  readonly hooks: LoadedPrograms
}

const objectAt = (name: string): BpfObject => readObject(new URL(`../../../bpf/${name}.o`, import.meta.url))

/** The link is pinned last: where it is, everything is. */
const linkName = 'lookup'

/** What is attached to this network namespace; its inode, as `struct bpf_link_info` has it. */
const ownNamespace = '/proc/self/ns/net'

/**
 * Finds or makes the kernel's part, in a directory of a bpffs.
 * @throws CutoverError `failed` if the look-up program could not be proven, or another network namespace is steered from these pins;
 *   SystemError if the kernel refuses
 */
export function openKernel(pins: string): Kernel {
  const root = rootOf(pins)
  const found = isAttached(root)
  if (!found) rmSync(root, { recursive: true, force: true })
  using owned = new DisposableStack()
  const lookup = objectAt('lookup')
  // One for each name: `fromEntries` forgets which keys there are.
  const maps = Object.fromEntries(
    mapNames.map((name) => {
      const definition = lookup.maps[name]
      if (definition === undefined) throw new Error(`bpf/maps.h does not describe the map ${name}`)
      const path = join(root, 'maps', name)
      return [name, owned.use(found ? openMap(path, definition) : createMap(definition, name))]
    }),
  ) as unknown as Maps
  const group = owned.use(found ? getPinned(join(root, 'programs', 'group')) : load(root, maps, lookup))
  const hooks = loadPrograms(objectAt('hooks'), maps)
  for (const { program } of Object.values(hooks)) owned.use(program)
  const all = owned.move()
  return {
    maps,
    group,
    releases: join(root, 'releases'),
    hooks,
    [Symbol.dispose]: () => all.dispose(),
  }
}

/** Takes every pin away, the link first: without it, whatever else is left counts as nothing. What is attached goes with it. */
export function removePins(pins: string): void {
  rmSync(join(rootOf(pins), 'links'), { recursive: true, force: true })
  rmSync(pins, { recursive: true, force: true })
}

const rootOf = (pins: string): string => join(pins, String(layoutVersion))

/** Is the look-up program at work? What an earlier daemon left half made, or what steered a namespace that has gone, is not. */
function isAttached(root: string): boolean {
  const path = join(root, 'links', linkName)
  if (!existsSync(path)) return false
  using link = getPinned(path)
  const steered = netnsOfLink(link)
  if (steered !== 0n && steered !== statSync(ownNamespace, { bigint: true }).ino)
    throw failure(
      `The programs pinned below ${root} steer another network namespace than this one. Nothing was changed. Run cutover where its ` +
        'daemon was first started, or give this one another CUTOVER_HOME.',
    )
  return steered !== 0n
}

/** @returns the group's program */
function load(root: string, maps: Maps, object: BpfObject): KernelObject {
  using owned = new DisposableStack()
  const programOf = (from: BpfObject, name: string, constants: Uint8Array | null = null): KernelObject => {
    const loaded = loadPrograms(from, maps, constants)[name]
    if (loaded === undefined) throw new Error(`there is no program ${name}`)
    return owned.use(loaded.program)
  }
  const lookup = programOf(object, 'lookup')
  const group = programOf(objectAt('group'), 'group')
  const nobody = objectAt('nobody')
  for (let slot = 0; slot <= maxAlive; slot++) maps.next.set(u32(slot), u32(programOf(nobody, 'nobody', u32(slot)).fd))
  proveHarmless(lookup, ownPorts(maps))

  for (const folder of ['maps', 'programs', 'links', 'releases'])
    mkdirSync(join(root, folder), { recursive: true, mode: 0o700 })
  for (const name of mapNames) pin(maps[name], join(root, 'maps', name))
  pin(group, join(root, 'programs', 'group'))
  using namespace = openTarget(ownNamespace)
  using link = createLink(lookup, 'sk_lookup', namespace.fd)
  pin(link, join(root, 'links', linkName))
  return new Descriptor(group.release())
}

const ownPorts = (maps: Maps): Set<number> => new Set(maps.ports.keys().map(portOfKey))
