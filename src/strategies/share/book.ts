/** Which release has which place: what a daemon writes down for the next one. The kernel knows the sockets, not whose they are. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { AppId, ReleaseNumber } from '../../core/words.ts'
import type { DeclaredPort } from '../steering.ts'

export interface Lodger {
  readonly release: ReleaseNumber
  /** The same on every port. */
  readonly place: number
  /** Its ports, in the order of its config. */
  readonly ports: readonly number[]
  /** Where its processes are. */
  readonly cgroup: string
}

export interface Entry {
  readonly app: AppId
  readonly ports: readonly DeclaredPort[]
  readonly lodgers: readonly Lodger[]
  readonly active: ReleaseNumber
  /** Where new connections go: the place of whoever is active, was so, or is about to be. */
  readonly at: number
  /** The place that began to listen before the others. */
  readonly first: number
  readonly holdMs: number
}

/** None if there is no such file; null if it is damaged, which takes a power cut, or a hand. */
export function readBook(file: string): readonly Entry[] | null {
  if (!existsSync(file)) return []
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

/** Whole, or as it was. A power cut takes the sockets with it, and needs none of this afterwards. */
export function writeBook(file: string, entries: readonly Entry[]): void {
  if (entries.length === 0) {
    rmSync(file, { force: true })
    return
  }
  writeFileSync(`${file}.new`, JSON.stringify(entries), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}
