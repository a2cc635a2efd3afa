/** Gives back what the kernel keeps for an app of which nothing is live. */
import { activeOf, candidateOf } from '../core/app.ts'
import type { AppName } from '../core/words.ts'
import { triedAtOnce } from './clean-up.ts'
import { declare } from './declare.ts'
import { allRunning, type Node } from './node.ts'

/**
 * After a deploy that failed: what only its release declared is given back. After a first one that is every port of the app, and with the
 * last app the whole of the kernel's part.
 */
export function releasePorts(node: Node, name: AppName): void {
  if (activeOf(node.store.apps.state(name)) !== null) {
    declare(node, name)
    return
  }
  if (allRunning(node, name).length > 0) return
  node.steering().removeApp(node.store.apps.get(name).slot)
  endSteeringIfUnused(node)
}

/** Leaves no pin, mount or cgroup on a node where no app is live or about to be. What somebody keeps busy is left for the next time. */
export function endSteeringIfUnused(node: Node): void {
  const used = node.store.apps.list().some(({ name }) => {
    const state = node.store.apps.state(name)
    return activeOf(state) !== null || candidateOf(state) !== null
  })
  if (!used && node.running.size === 0) triedAtOnce(node, "take the kernel's part away", () => node.endSteering())
}
