/** The end of a release's processes and of everything in the kernel that was made for them. */
import type { AppName, ReleaseNumber } from '../core/words.ts'
import { untilNoneIn } from '../linux/enclosure.ts'
import { keyOf, type Node, refOf, runningOf } from './node.ts'
import { endLoans } from './users.ts'

/**
 * Ends the processes with the stop steps, then by force, and takes the release out of the steering. What waits in its queues goes to the
 * active release. A release that does not run is fine; nothing of it is left then either.
 */
export async function takeDown(node: Node, name: AppName, release: ReleaseNumber): Promise<void> {
  const app = node.store.apps.find(name)
  if (app === null) return
  const running = runningOf(node, name, release)
  const cgroup = `${node.cgroup}/${keyOf(name, release)}`
  endLoans(node, name, release)
  await running?.instance.stop()
  node.cgroups.kill(cgroup)
  await untilNoneIn(cgroup, AbortSignal.timeout(hangsMs))
  node.steering().removeRelease(refOf(app, release))
  node.cgroups.remove(cgroup)
  node.running.delete(keyOf(name, release))
  node.store.apps.keepWorkers(name, release, [])
}

/** A process that SIGKILL has not ended by then hangs in the kernel. */
const hangsMs = 30_000
