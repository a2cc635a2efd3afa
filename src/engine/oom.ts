/** Which release the kernel ends first when memory is used up. */
import { activeOf } from '../core/app.ts'
import { oomScoreOf } from '../core/oom.ts'
import type { AppName, ReleaseNumber } from '../core/words.ts'
import { inheritedOomScore } from '../linux/oom.ts'
import { allRunning, type Node } from './node.ts'

/** What a process of the release has to have at this moment. */
export function oomScoreFor(node: Node, app: AppName, release: ReleaseNumber): number {
  const isActive = activeOf(node.store.apps.state(app))?.number === release
  return oomScoreOf(isActive ? 'active' : 'other', inheritedOomScore)
}

/** Gives every process of the app what is its due since the last step of a release. */
export function weigh(node: Node, app: AppName): void {
  for (const { release, cgroup } of allRunning(node, app))
    node.cgroups.setOomScores(cgroup, oomScoreFor(node, app, release))
}
