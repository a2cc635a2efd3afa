/** What a daemon finds of shared ports when it starts: what the book says, and as much of it as still lives. */
import { failure } from '../../core/errors.ts'
import type { AppId } from '../../core/words.ts'
import { isAnyIn, pidsIn } from '../../linux/enclosure.ts'
import type { Descriptor } from '../../linux/ffi.ts'
import { copyDescriptor, identify, sendSignal } from '../../linux/process.ts'
import { listenersOn, whereOpen } from '../../linux/sock-diag.ts'
import type { DeclaredPort } from '../steering.ts'
import { type Entry, type Lodger, readBook } from './book.ts'
import { directionOf, findGroup, type Group, remakeGroup } from './group.ts'

/** After a power cut a damaged book says nothing that is still so. Where something runs, it alone says which release is which. */
export function entriesOf(book: string, cgroup: string): readonly Entry[] {
  const entries = readBook(book)
  if (entries === null && isAnyIn(cgroup))
    throw failure(
      `${book} is damaged, and apps run of which it alone says who has which place on their ports. Nothing was changed: traffic goes on as it ` +
        'is. Put a copy back; or, to begin anew with an outage, end the processes of the apps, remove the file, and start the daemon.',
    )
  return entries ?? []
}

/**
 * What a daemon finds: the places as their holders keep them or, where one was killed together with the daemon, made anew around those that
 * programs of the app still have. Null if nothing of the app lives.
 */
export function groupsOf(entry: Entry, holdersOf: (app: AppId, port: number) => string): Map<number, Group> | null {
  const { app, ports, lodgers } = entry
  const direction = directionOf(entry)
  const groups = new Map<number, Group>()
  for (const port of ports) {
    const holders = holdersOf(app, port.port)
    const group = findGroup(holders) ?? remake(port, lodgers, holders)
    if (group === null) continue
    group.mend(direction)
    groups.set(port.port, group)
  }
  return groups.size === 0 ? null : groups
}

/** Ends holders of a daemon that was killed before it had written down what they hold: nobody listens there. */
export function endOthers(places: string, known: readonly string[]): void {
  const kept = new Set(known.flatMap(pidsIn))
  for (const pid of pidsIn(places)) {
    const holder = kept.has(pid) ? null : identify(pid)
    if (holder !== null) sendSignal(holder, 'SIGKILL')
  }
}

function remake(port: DeclaredPort, lodgers: readonly Lodger[], holders: string): Group | null {
  const inodes = new Set(listenersOn([port.port]).map(({ inode }) => inode))
  const kept = new Map<number, Descriptor>()
  const pids = lodgers.map(({ place, cgroup }) => ({ place, pids: new Set(pidsIn(cgroup)) }))
  for (const { pid, fd } of whereOpen(inodes)) {
    const place = pids.find((one) => one.pids.has(pid))?.place
    const socket = place === undefined || kept.has(place) ? null : copyDescriptor(pid, fd)
    if (place !== undefined && socket !== null) kept.set(place, socket)
  }
  return kept.size === 0 ? null : remakeGroup(port, kept, holders)
}
