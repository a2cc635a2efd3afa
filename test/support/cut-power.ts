/** A power cut, as far as a node can tell. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { killCgroup, removeCgroup } from '../../src/linux/cgroup.ts'
import { untilEmpty } from '../../src/linux/cgroup-events.ts'
import { unmount } from '../../src/linux/mounts.ts'
import { pinsOf } from './kernel-part.ts'
import type { TestNode } from './node.ts'

/** Leaves what a power cut leaves: files, and nothing else. The daemon may be dead already. */
export async function cutPower(node: TestNode): Promise<void> {
  const pins = pinsOf(node)
  if (node.daemon() !== null) await node.killDaemon()
  killCgroup(node.cgroup)
  await untilEmpty(node.cgroup, AbortSignal.timeout(10_000))
  if (pins !== null) rmSync(pins, { recursive: true, force: true })
  removeCgroup(node.cgroup)
  unmount(join(node.place.home, 'bpf'))
}
