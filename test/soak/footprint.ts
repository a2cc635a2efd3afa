/** What a node takes up: the daemon's memory and descriptors, the kernel's maps, pins, cgroups and files. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { openKernel } from '../../src/strategies/steer/kernel.ts'
import { pinsOf } from '../support/kernel-part.ts'
import type { TestNode } from '../support/node.ts'

/** Which daemon it is, and what there is of each thing. */
export interface Footprint {
  readonly daemon: number
  /** Private memory of the daemon, in kilobytes: proc_pid_smaps(5). */
  readonly memoryKb: number
  readonly descriptors: number
  readonly mapEntries: number
  readonly pins: number
  readonly cgroups: number
  /** Of all of `$CUTOVER_HOME`. */
  readonly files: number
  readonly databaseBytes: number
}

export function footprintOf(node: TestNode): Footprint {
  const { home, lock } = node.place
  const daemon = Number(readFileSync(lock, 'utf8'))
  const pins = pinsOf(node)
  return {
    daemon,
    memoryKb: privateMemoryKb(daemon),
    descriptors: readdirSync(`/proc/${daemon}/fd`).length,
    mapEntries: pins === null ? 0 : entriesIn(pins),
    pins: pins === null ? 0 : below(pins),
    cgroups: below(node.cgroup, (entry) => entry.isDirectory()),
    files: below(home),
    databaseBytes: statSync(join(home, 'cutover.db')).size,
  }
}

function privateMemoryKb(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  return [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].reduce((sum, [, kb]) => sum + Number(kb), 0)
}

/** Maps that forget the oldest by themselves, or have all their entries from the beginning, cannot grow. */
const growing = [
  'places',
  'owners',
  'seats',
  'sites',
  'ports',
  'apps',
  'alive',
  'holds',
  'stamps',
  'tallies',
  'handed',
] as const

function entriesIn(pins: string): number {
  using kernel = openKernel(pins)
  return growing.reduce((sum, name) => sum + kernel.maps[name].keys().length, 0)
}

type Entry = ReturnType<typeof entriesOf>[number]
const entriesOf = (directory: string) => readdirSync(directory, { recursive: true, withFileTypes: true })
const below = (directory: string, counts: (entry: Entry) => boolean = () => true): number =>
  entriesOf(directory).filter(counts).length
