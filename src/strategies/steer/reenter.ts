/**
 * Releases that run and of which the kernel knows nothing any more: somebody unmounted the bpffs, or removed the pins in it, and took maps, hooks
 * and look-up program away with them. Their sockets live, and the groups of these sockets still find the release that was active then. They
 * are entered as their hooks would have done it when they began to listen.
 */
import { cgroupId, cgroupIds, subgroups } from '../../linux/cgroup.ts'
import { dumpTcp } from '../../linux/sock-diag.ts'
import type { ReleaseRef } from '../steering.ts'
import { copiesOf } from './copies.ts'
import type { Maps } from './kernel.ts'
import { enter } from './listeners.ts'

/**
 * Gives every listener that was made in the release's cgroup a place. Nobody is sent there before the port is an app's.
 * @returns the ports
 */
export function enterListeners(maps: Maps, ref: ReleaseRef, cgroup: string): number[] {
  // A socket's worker is the cgroup right below the release's, however deep it was made.
  const workers = new Map([[cgroupId(cgroup), cgroupId(cgroup)]])
  for (const worker of subgroups(cgroup)) for (const id of cgroupIds(worker)) workers.set(id, cgroupId(worker))
  const workerOf = (id: bigint | null) => workers.get(id ?? 0n)
  const own = dumpTcp({ states: ['listen'] }).filter(({ cgroupId }) => workerOf(cgroupId) !== undefined)
  for (const { socket, copy } of copiesOf(own))
    enter(maps, { ref, port: socket.localPort, n: 0 }, copy, workerOf(socket.cgroupId))
  return [...new Set(own.map(({ localPort }) => localPort))]
}
