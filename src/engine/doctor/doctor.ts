/** What this machine can do, found by trying it and not by comparing versions. */
import type { DoctorCheck, DoctorReport } from '../../core/documents.ts'
import { schema } from '../../core/documents.ts'
import type { Node } from '../node.ts'
import { endSteeringIfUnused } from '../release-ports.ts'
import { whyNotSteer } from '../way.ts'
import { appPorts, rootApps } from './apps.ts'
import { wrong } from './check.ts'
import { needsOfSteer } from './needs.ts'
import { queues } from './queues.ts'
import { needsOfShare } from './share.ts'
import { bpffsOf, logs, memory, natRules, swap } from './surroundings.ts'

/** Tries each thing that a strategy needs, and looks at what may get into its way. What was made for that is gone again afterwards. */
export async function doctor(node: Node): Promise<DoctorReport> {
  const steer = process.geteuid?.() === 0 ? await ofSteer(node) : withoutRoot
  const share = needsOfShare()
  const canShare = share.every(works) && takesShare(node)
  endSteeringIfUnused(node)
  return {
    schema,
    strategy: steer.needed.every(works) ? 'steer' : canShare ? 'share' : null,
    checks: [
      ...steer.needed,
      ...steer.besides,
      ...share,
      memory(),
      swap(),
      logs(node.home),
      await natRules(node),
      ...(await appPorts(node)),
      ...rootApps(node),
    ],
  }
}

const works = ({ ok }: DoctorCheck): boolean => ok

interface OfSteer {
  readonly needed: readonly DoctorCheck[]
  readonly besides: readonly DoctorCheck[]
}

async function ofSteer(node: Node): Promise<OfSteer> {
  const { move, wake } = await queues(node)
  const needed = [...needsOfSteer(node), move]
  // It may be a bpffs of Cutover's own, which goes again where no app is.
  return { needed, besides: [wake, bpffsOf(node)] }
}

const withoutRoot: OfSteer = {
  needed: [
    wrong(
      'steer',
      'it needs root, and the daemon runs as an ordinary user',
      'Without it share works, with programs that take the socket that they are given; for all others start the daemon with sudo, or as a service.',
    ),
  ],
  besides: [],
}

/** Whether a deploy would take it where steer does not work as it should. */
function takesShare(node: Node): boolean {
  try {
    return whyNotSteer(node) !== null
  } catch {
    return false
  }
}
