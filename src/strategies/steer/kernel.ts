/** The maps and programs that all apps share, found where they are pinned or made. */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { failure } from '../../core/errors.ts'
import { getPinned, type KernelObject, linkInfo, pin } from '../../linux/bpf.ts'
import { type BpfMap, createMap, openMap } from '../../linux/bpf-map.ts'
import { type LoadedPrograms, loadPrograms } from '../../linux/bpf-object.ts'
import { maxAlive } from '../steering.ts'
import { layoutVersion, portOfKey, u32 } from './layout.ts'
import { type Objects, ownObjects, readObjects } from './objects.ts'
import { proveHarmless } from './proof.ts'

/** The maps of bpf/maps.h. */
const mapNames = [
  'places',
  'owners',
  'seats',
  'sites',
  'ports',
  'apps',
  'alive',
  'holds',
  'stamps',
  'who',
  'turns',
  'rounds',
  'binders',
  'tallies',
  'handed',
  'counters',
  'selves',
  'next',
] as const

export type Maps = Readonly<Record<(typeof mapNames)[number], BpfMap>>

export interface Kernel extends Disposable {
  readonly maps: Maps
  readonly pins: Pins
  /** The program of the SO_REUSEPORT groups. */
  readonly group: KernelObject
  /** The programs of the releases' cgroups, by name. */
  readonly hooks: LoadedPrograms
  /** Programs that were loaded and proven just now and still have to be put in their places (install.ts); null if these run already. */
  readonly loaded: Loaded | null
}

/** Those that need no pin of their own: what they are attached to keeps them. */
export interface Loaded {
  readonly lookup: KernelObject
  /** By slot: park, then each release that may live, then park once more. */
  readonly nobody: readonly KernelObject[]
}

/** Where in a bpffs everything is. */
export interface Pins {
  readonly maps: string
  /** The link of the look-up program: where it is, the maps are whole. */
  readonly lookup: string
  readonly programs: string
  /** Where it is, these very programs run everywhere. */
  readonly ownPrograms: string
  /** The links of the releases' hooks. */
  readonly releases: string
}

/** What is attached to this network namespace; its inode, as `struct bpf_link_info` has it. */
export const ownNamespace = '/proc/self/ns/net'

/**
 * Finds or makes the kernel's part, in a directory of a bpffs, with the programs of these object files. Others that run go on until
 * {@link Kernel.loaded} has taken their places.
 * @throws CutoverError `failed` if the look-up program could not be proven, the pins are of another layout, or steer another network
 *   namespace: then nothing was changed; SystemError if the kernel refuses
 */
export function openKernel(directory: string, folder: URL = ownObjects): Kernel {
  requireKnownPins(directory)
  const objects = readObjects(folder)
  const root = join(directory, String(layoutVersion))
  const pins: Pins = {
    maps: join(root, 'maps'),
    lookup: lookupIn(directory),
    programs: join(root, 'programs'),
    ownPrograms: join(root, 'programs', objects.digest),
    releases: join(root, 'releases'),
  }
  const found = isAttached(pins.lookup)
  if (!found) rmSync(root, { recursive: true, force: true })
  using owned = new DisposableStack()
  // One for each name: `fromEntries` forgets which keys there are.
  const maps = Object.fromEntries(
    mapNames.map((name) => {
      const definition = objects.lookup.maps[name]
      if (definition === undefined) throw new Error(`bpf/maps.h does not describe the map ${name}`)
      return [name, owned.use(found ? openMap(join(pins.maps, name)) : createMap(definition, name))]
    }),
  ) as unknown as Maps
  const programs = existsSync(pins.ownPrograms) ? pinnedPrograms(pins, objects, owned) : load(maps, objects, owned)
  if (!found) {
    for (const place of [pins.maps, join(root, 'links'), pins.programs, pins.releases])
      mkdirSync(place, { recursive: true, mode: 0o700 })
    for (const name of mapNames) pin(maps[name], join(pins.maps, name))
  }
  const all = owned.move()
  return { maps, pins, ...programs, [Symbol.dispose]: () => all.dispose() }
}

/**
 * Looks whether this version can take over what is pinned there, and changes nothing.
 * @throws CutoverError `failed` if the pins are of another layout, or steer another network namespace
 */
export function requireKnownPins(directory: string): void {
  refuseOtherLayouts(directory)
  isAttached(lookupIn(directory))
}

const lookupIn = (directory: string): string => join(directory, String(layoutVersion), 'links', 'lookup')

/** Takes every pin away, the link first: without it, whatever else is left counts as nothing. What is attached goes with it. */
export function removePins(directory: string): void {
  rmSync(join(directory, String(layoutVersion), 'links'), { recursive: true, force: true })
  rmSync(directory, { recursive: true, force: true })
}

/** What lies there is left alone: which of it steers, and how, only a version knows that made it. */
function refuseOtherLayouts(directory: string): void {
  const layouts = existsSync(directory) ? readdirSync(directory) : []
  const other = layouts.find((name) => name !== String(layoutVersion))
  if (other === undefined) return
  throw failure(
    `The kernel programs pinned in ${join(directory, other)} are of layout ${other}, and this version of Cutover knows layout ` +
      `${layoutVersion}. Nothing was changed: traffic goes on as they steer it. Run the version of Cutover that pinned them; or, to ` +
      'change over with an outage, end all apps with that version (cutover daemon stop --all) and start them with this one.',
  )
}

/** Is the look-up program at work? What an earlier daemon left half made, or what steered a namespace that has gone, is not. */
function isAttached(lookup: string): boolean {
  if (!existsSync(lookup)) return false
  using link = getPinned(lookup)
  const { netns: steered } = linkInfo(link)
  if (steered !== 0n && steered !== statSync(ownNamespace, { bigint: true }).ino)
    throw failure(
      `The programs of which ${lookup} is one steer another network namespace than this one. Nothing was changed. Run cutover ` +
        'where its daemon was first started, or give this one another CUTOVER_HOME.',
    )
  return steered !== 0n
}

type Programs = Pick<Kernel, 'group' | 'hooks' | 'loaded'>

function pinnedPrograms(pins: Pins, { hooks }: Objects, owned: DisposableStack): Programs {
  const pinned = (name: string) => owned.use(getPinned(join(pins.ownPrograms, name)))
  return {
    group: pinned('group'),
    hooks: Object.fromEntries(hooks.programs.map(({ name, kind }) => [name, { kind, program: pinned(name) }])),
    loaded: null,
  }
}

function load(maps: Maps, objects: Objects, owned: DisposableStack): Programs {
  const programsOf = (name: 'lookup' | 'nobody' | 'group' | 'hooks', constants?: Uint8Array): LoadedPrograms => {
    const programs = loadPrograms(objects[name], maps, constants)
    for (const { program } of Object.values(programs)) owned.use(program)
    return programs
  }
  const only = (name: 'lookup' | 'nobody' | 'group', constants?: Uint8Array): KernelObject => {
    const loaded = programsOf(name, constants)[name]
    if (loaded === undefined) throw new Error(`there is no program ${name}`)
    return loaded.program
  }
  const lookup = only('lookup')
  proveHarmless(lookup, new Set(maps.ports.keys().map(portOfKey)))
  return {
    group: only('group'),
    hooks: programsOf('hooks'),
    loaded: { lookup, nobody: Array.from({ length: maxAlive + 2 }, (_, slot) => only('nobody', u32(slot))) },
  }
}
