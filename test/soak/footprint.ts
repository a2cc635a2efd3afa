/** What a node takes up: the daemon's memory and descriptors, the kernel's maps, pins, cgroups and files; and what of it grew without need. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
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
  /** Its log of what is not in it yet counted in. */
  readonly databaseBytes: number
  /** Rows of the database. Of the first two only so many are kept. */
  readonly events: number
  readonly operations: number
  readonly releases: number
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
    databaseBytes: ['cutover.db', 'cutover.db-wal'].reduce((sum, file) => sum + statSync(join(home, file)).size, 0),
    ...rowsOf(join(home, 'cutover.db')),
  }
}

/**
 * What grew from the middle to the end beyond what it may, in words. Memory has half as much again for a heap that is not full yet. The
 * database has what the rows that are kept take, which may not all have been there in the middle.
 */
export function grown(before: Footprint, after: Footprint): string[] {
  const most: Readonly<Record<Exclude<keyof Footprint, 'daemon' | 'releases'>, number>> = {
    memoryKb: before.memoryKb + Math.max(before.memoryKb / 2, 20_000),
    descriptors: before.descriptors + 3,
    mapEntries: before.mapEntries + 10,
    pins: before.pins + 10,
    cgroups: before.cgroups + 10,
    files: before.files + 50,
    databaseBytes: walBytes + keptEvents * 250 + keptOperations * 2000 + after.releases * 2000,
    events: keptEvents,
    operations: keptOperations,
  }
  const other = after.daemon === before.daemon ? [] : ['the daemon of the second half did not live on']
  const names = Object.keys(most) as (keyof typeof most)[]
  const beyond = names.filter((name) => after[name] > most[name])
  return [
    ...other,
    ...beyond.map(
      (name) => `${name} grew from ${before[name]} to ${after[name]}, and ${most[name]} would have been fine`,
    ),
  ]
}

/** As `store/events.ts` and `store/operations.ts` have it, for the one app that there is, and one operation that has just begun. */
const keptEvents = 10_000
const keptOperations = 1001
/** SQLite copies its log into the database at 1,000 pages; one transaction may come on top. */
const walBytes = 8_000_000

function rowsOf(file: string) {
  using database = new DatabaseSync(file, { readOnly: true })
  const count = (table: string) => Number(database.prepare(`SELECT count(*) AS rows FROM ${table}`).get()?.rows)
  return { events: count('events'), operations: count('operations'), releases: count('releases') }
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
