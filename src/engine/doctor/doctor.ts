/** What this machine can do, found by trying it and not by comparing versions. */
import type { DoctorCheck, DoctorReport } from '../../core/documents.ts'
import { schema } from '../../core/documents.ts'
import type { Node } from '../node.ts'
import { endSteeringIfUnused } from '../release-ports.ts'
import { appPorts, rootApps } from './apps.ts'
import { wrong } from './check.ts'
import { needsOfSteer } from './needs.ts'
import { needsOfShare } from './share.ts'
import { bpffsOf, logs, memory, natRules, swap } from './surroundings.ts'

const works = ({ ok }: DoctorCheck): boolean => ok

const withoutRoot = wrong(
  'steer',
  'it needs root, and the daemon runs as an ordinary user',
  'Without it share works, with programs that take the socket that they are given; for all others start the daemon with sudo, or as a service.',
)

/** Tries each thing that a strategy needs, and looks at what may get into its way. What was made for that is gone again afterwards. */
export async function doctor(node: Node): Promise<DoctorReport> {
  const ofSteer = process.geteuid?.() === 0 ? needsOfSteer(node) : [withoutRoot]
  const ofShare = needsOfShare()
  // It may be a bpffs of Cutover's own, which goes again where no app is.
  const bpffs = bpffsOf(node)
  endSteeringIfUnused(node)
  return {
    schema,
    strategy: ofSteer.every(works) ? 'steer' : ofShare.every(works) ? 'share' : null,
    checks: [
      ...ofSteer,
      ...ofShare,
      ...(process.geteuid?.() === 0 ? [bpffs] : []),
      memory(),
      swap(),
      logs(node.home),
      await natRules(node),
      ...(await appPorts(node)),
      ...rootApps(node),
    ],
  }
}
