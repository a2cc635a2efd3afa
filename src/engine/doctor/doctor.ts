/** What this machine can do, found by trying it and not by comparing versions. */
import type { DoctorReport } from '../../core/documents.ts'
import { schema } from '../../core/documents.ts'
import type { Node } from '../node.ts'
import { endSteeringIfUnused } from '../release-ports.ts'
import { appPorts, rootApps } from './apps.ts'
import { needsOfSteer } from './needs.ts'
import { bpffsOf, logs, memory, natRules, swap } from './surroundings.ts'

/** Tries each thing that `steer` needs, and looks at what may get into its way. What was made for that is gone again afterwards. */
export async function doctor(node: Node): Promise<DoctorReport> {
  const needed = needsOfSteer(node)
  // It may be a bpffs of Cutover's own, which goes again where no app is.
  const bpffs = bpffsOf(node)
  endSteeringIfUnused(node)
  return {
    schema,
    strategy: needed.every(({ ok }) => ok) ? 'steer' : null,
    checks: [
      ...needed,
      bpffs,
      memory(),
      swap(),
      logs(node.home),
      await natRules(node),
      ...(await appPorts(node)),
      ...rootApps(node),
    ],
  }
}
