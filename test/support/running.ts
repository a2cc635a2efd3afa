/** What runs on a node, and where its traffic goes, as the machine has it and whatever the strategy: to be asked without a daemon. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { AppName, Pid, ReleaseNumber } from '../../src/core/words.ts'
import { isCgroup, pidsIn } from '../../src/linux/enclosure.ts'
import { markedName } from '../../src/linux/marks.ts'
import { openHome } from '../../src/store/home.ts'
import { type Entry, readBook } from '../../src/strategies/share/book.ts'
import type { TestNode } from './node.ts'

/** The processes of each release of the app that has a cgroup, or a process that carries its mark. */
export function pidsByRelease({ cgroup }: TestNode, app: AppName): ReadonlyMap<ReleaseNumber, readonly Pid[]> {
  const names = isCgroup(cgroup)
    ? namesIn(cgroup)
    : pidsIn(cgroup).flatMap((pid) => markedName(pid)?.split('/')[1] ?? [])
  const releases = [...new Set(names)].flatMap((name) => {
    const release = name.startsWith(`${app}.v`) ? Number(name.slice(app.length + 2)) : Number.NaN
    return Number.isInteger(release) ? [release] : []
  })
  return new Map(
    releases.toSorted((a, b) => a - b).map((release) => [release, pidsIn(join(cgroup, `${app}.v${release}`))]),
  )
}

/** What is written down of the places on the ports of the node's first app; null if no app has any. */
export const bookOf = ({ place }: TestNode): Entry | null => readBook(openHome(place.home).places)?.[0] ?? null

/** The processes that keep the places of all ports. */
export const placeHolders = ({ cgroup }: TestNode): readonly Pid[] => pidsIn(join(cgroup, 'places'))

export const namesIn = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory).toSorted() : [])
