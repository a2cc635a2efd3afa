/** The maps and programs that all apps share, found where they are pinned or made. */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { failure } from '../../core/errors.ts'
import { getPinned, type KernelObject, linkInfo, pin } from '../../linux/bpf.ts'
import { type BpfMap, createMap, type MapDefinition, openMap } from '../../linux/bpf-map.ts'
import { type LoadedPrograms, loadPrograms } from '../../linux/bpf-object.ts'
import { maxAlive } from '../steering.ts'
import { type Changed, formerLayouts } from './former.ts'
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

export type MapName = (typeof mapNames)[number]
export type Maps = Readonly<Record<MapName, BpfMap>>

export interface Kernel extends Disposable {
  readonly maps: Maps
  readonly pins: OwnPins
  /** The program of the SO_REUSEPORT groups. */
  readonly group: KernelObject
  /** The programs of the releases' cgroups, by name. */
  readonly hooks: LoadedPrograms
  /** Programs that were loaded and proven just now and still have to be put in their places (install.ts); null if these run already. */
  readonly loaded: Loaded | null
  /** What is pinned in a former layout and still has to be moved to this one, or some of it (move.ts); null if there is nothing. */
  readonly former: Former | null
}

export interface Former {
  readonly pins: Pins
  readonly changed: Changed
  /** Of the maps that have changed, those of which entries are carried over. */
  readonly maps: Partial<Maps>
}

/** Those that need no pin of their own: what they are attached to keeps them. */
export interface Loaded {
  readonly lookup: KernelObject
  /** By slot: park, then each release that may live, then park once more. */
  readonly nobody: readonly KernelObject[]
}

/** Where in a bpffs everything of one layout is. */
export interface Pins {
  readonly root: string
  readonly maps: string
  /** Without what is in it whatever else is there counts as nothing. */
  readonly links: string
  /** The link of the look-up program: where it is, the maps are whole. */
  readonly lookup: string
  readonly programs: string
  /** The links of the releases' hooks. */
  readonly releases: string
}

interface OwnPins extends Pins {
  /** Where it is, these very programs run everywhere. */
  readonly ownPrograms: string
}

function pinsOf(directory: string, layout: string): Pins {
  const root = join(directory, layout)
  const links = join(root, 'links')
  return {
    root,
    maps: join(root, 'maps'),
    links,
    lookup: join(links, 'lookup'),
    programs: join(root, 'programs'),
    releases: join(root, 'releases'),
  }
}

const ownLayout = String(layoutVersion)

/** What is attached to this network namespace; its inode, as `struct bpf_link_info` has it. */
export const ownNamespace = '/proc/self/ns/net'

/**
 * Finds or makes the kernel's part, in a directory of a bpffs, with the programs of these object files. Others that run go on until
 * {@link Kernel.loaded} has taken their places.
 * @throws CutoverError `failed` if the look-up program could not be proven, the pins are of a layout that is not known, or steer another
 *   network namespace: then nothing was changed; SystemError if the kernel refuses
 */
export function openKernel(directory: string, folder: URL = ownObjects): Kernel {
  const whole = wholeLayouts(directory)
  const objects = readObjects(folder)
  const own = pinsOf(directory, ownLayout)
  const pins = { ...own, ownPrograms: join(own.programs, objects.digest) }
  const found = whole.includes(ownLayout)
  for (const layout of layoutsIn(directory))
    if (!whole.includes(layout)) rmSync(join(directory, layout), { recursive: true })
  using owned = new DisposableStack()
  const former = openFormer(directory, whole, owned)
  const mapOf = (name: MapName): BpfMap => {
    const definition = objects.lookup.maps[name]
    if (definition === undefined) throw new Error(`bpf/maps.h does not describe the map ${name}`)
    if (found) return openAlike(join(pins.maps, name), definition)
    if (former !== null && !(name in former.changed)) return openAlike(join(former.pins.maps, name), definition)
    return createMap(definition, name)
  }
  // One for each name: `fromEntries` forgets which keys there are.
  const maps = Object.fromEntries(mapNames.map((name) => [name, owned.use(mapOf(name))])) as unknown as Maps
  const programs = existsSync(pins.ownPrograms) ? pinnedPrograms(pins, objects, owned) : load(maps, objects, owned)
  if (!found) {
    for (const place of [pins.maps, pins.links, pins.programs, pins.releases])
      mkdirSync(place, { recursive: true, mode: 0o700 })
    for (const name of mapNames) pin(maps[name], join(pins.maps, name))
  }
  const all = owned.move()
  return { maps, pins, ...programs, former, [Symbol.dispose]: () => all.dispose() }
}

/**
 * Looks whether this version can take over what is pinned there, and changes nothing.
 * @throws CutoverError `failed` if the pins are of a layout that is not known, or steer another network namespace
 */
export const requireKnownPins = (directory: string): void => void wholeLayouts(directory)

/** Takes every pin away, the link first: without it, whatever else is left counts as nothing. What is attached goes with it. */
export function removePins(directory: string): void {
  rmSync(pinsOf(directory, ownLayout).links, { recursive: true, force: true })
  rmSync(directory, { recursive: true, force: true })
}

const layoutsIn = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : [])

/**
 * The layouts whose look-up program is at work, this one and a former one at most. What lies there of one that is not known is left alone: which
 * of it steers, and how, only a version knows that made it.
 */
function wholeLayouts(directory: string): string[] {
  const layouts = layoutsIn(directory)
  const unknown = layouts.find((layout) => layout !== ownLayout && !formerLayouts.has(layout))
  if (unknown !== undefined)
    throw failure(
      `The kernel programs pinned in ${join(directory, unknown)} are of layout ${unknown}, and this version of Cutover knows layout ` +
        `${layoutVersion}. Nothing was changed: traffic goes on as they steer it. Run the version of Cutover that pinned them; or, to ` +
        'change over with an outage, end all apps with that version (cutover daemon stop --all) and start them with this one.',
    )
  const whole = layouts.filter((layout) => isAttached(pinsOf(directory, layout).lookup))
  const others = whole.filter((layout) => layout !== ownLayout)
  if (others.length > 1)
    throw failure(
      `The kernel programs pinned in ${directory} are of the layouts ${others.join(' and ')} at once: a daemon that moved them from one to ` +
        'the other did not come to its end. Nothing was changed: traffic goes on. Run the version of Cutover that began it first.',
    )
  return whole
}

function openFormer(directory: string, whole: readonly string[], owned: DisposableStack): Former | null {
  const layout = whole.find((one) => one !== ownLayout)
  const changed = formerLayouts.get(layout ?? '')
  if (layout === undefined || changed === undefined) return null
  const pins = pinsOf(directory, layout)
  const carried = mapNames.filter((name) => changed[name])
  const maps = Object.fromEntries(carried.map((name) => [name, owned.use(openMap(join(pins.maps, name)))]))
  return { pins, changed, maps }
}

/** @throws Error if it was made otherwise: then its number is not that of this layout, or it is not told what has changed of a former one */
function openAlike(path: string, definition: MapDefinition): BpfMap {
  const map = openMap(path)
  if (isDeepStrictEqual(map.definition, definition)) return map
  map[Symbol.dispose]()
  throw new Error(`${path} is not made as bpf/maps.h says, and no change of layout tells why`)
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

function pinnedPrograms(pins: OwnPins, { hooks }: Objects, owned: DisposableStack): Programs {
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
