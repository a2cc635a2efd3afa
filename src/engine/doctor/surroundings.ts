/** What of the machine may get into the way of apps, or of the daemon. None of it hinders `steer`. */
import { dirname } from 'node:path'
import type { DoctorCheck } from '../../core/documents.ts'
import { takenFirst } from '../../core/nat.ts'
import { oomScoreOf } from '../../core/oom.ts'
import { canLetGo } from '../../instances/log-hole.ts'
import { swapMemory } from '../../linux/memory.ts'
import { isSeenByInit } from '../../linux/mounts.ts'
import { listNatRules } from '../../linux/nat.ts'
import { inheritedOomScore, oomScore } from '../../linux/oom.ts'
import type { Home } from '../../store/home.ts'
import { foundPins, type Node } from '../node.ts'
import { presentPorts } from '../ports.ts'
import { fine, tried, wrong } from './check.ts'

/** A bpffs in a mount namespace of the daemon's own goes with it, and what is pinned there with the bpffs. */
export function bpffsOf({ home }: Node): DoctorCheck {
  const pins = foundPins(home)
  if (pins === null)
    return wrong(
      'bpffs',
      'nothing is pinned',
      'If it is a bpffs that kernel programs lack: mount -t bpf bpf /sys/fs/bpf',
    )
  const bpffs = dirname(pins)
  const where = `pinned in ${bpffs}, ${bpffs === home.bpffs ? 'a bpffs of its own' : 'the bpffs of the machine'}`
  switch (isSeenByInit(bpffs)) {
    case 'same namespace':
      return fine('bpffs', `${where}, in the mount namespace of process 1`)
    case 'seen':
      return fine('bpffs', `${where}, which process 1 sees too; the daemon is in a mount namespace of its own`)
    case 'unseen':
      return wrong(
        'bpffs',
        `${where}, and mounted in a mount namespace of the daemon's own: it goes with that`,
        'Start the daemon outside, as a unit without PrivateTmp, ProtectSystem and the like; or mount one for the machine before: mount -t bpf bpf /sys/fs/bpf',
      )
    case 'unknown':
      return fine('bpffs', `${where}; the mount namespace of process 1 may not be looked at`)
  }
}

/** An app runs without it, but where memory is used up the kernel may end the daemon before a release that nobody needs. */
export const memory = (): DoctorCheck =>
  tried('memory', 'Give it that right, or OOMScoreAdjust=-900 in its unit.', () => {
    const wanted = oomScoreOf('daemon', inheritedOomScore)
    if (oomScore() > wanted)
      throw new Error(
        `the daemon may not set its oom_score_adj to ${wanted} (CAP_SYS_RESOURCE): it may be ended before apps`,
      )
    return 'if memory is used up, what does not serve ends first, then active releases, and the daemon last'
  })

/** Where there is none a release that stands by has all its memory, always. */
export function swap(): DoctorCheck {
  const { total, free } = swapMemory()
  if (total === 0) return fine('swap', 'none: whatever stands by keeps all its memory')
  const figures = `${megabytes(free)} MB of ${megabytes(total)} MB are free`
  if (free > total / 20) return fine('swap', figures)
  return wrong('swap', `used up, ${figures}`, 'Give the machine more memory or swap, or its apps fewer standbys.')
}

/** An app runs without it, but its log grows without end. */
export const logs = ({ directory }: Home): DoctorCheck =>
  tried('logs', 'Put CUTOVER_HOME onto ext4, XFS, Btrfs or tmpfs.', () => {
    if (!canLetGo(directory))
      throw new Error(`the file system of ${directory} cannot let go of the beginning of a file: logs grow without end`)
    return 'the oldest part of a log is let go where it passes its max'
  })

/** What is sent elsewhere on its way in never gets to the port. */
export async function natRules(node: Node): Promise<DoctorCheck> {
  const ports = node.store.apps.list().flatMap(({ name }) => [...presentPorts(node, name)])
  const { text, by, unlisted } = await listNatRules()
  const [first, ...others] = takenFirst(ports, text)
  if (first !== undefined)
    return wrong(
      'NAT',
      `packets for port ${first.port} are sent elsewhere before they get there, by the rule: ${first.rule}` +
        (others.length === 0 ? '' : `; the same for ${others.map(({ port }) => port).join(', ')}`),
      'Delete the rule, or declare the port to which it leads.',
    )
  if (unlisted.length > 0)
    return wrong('NAT', `there are rules in ${unlisted.join(', ')}, which could not be listed`, 'Install iptables.')
  if (by.length === 0)
    return fine('NAT', 'rules of nftables could not be looked at: neither nft nor iptables-save could list them')
  return fine('NAT', `no rule for a port of an app, says ${by.join(', ')}`)
}

const megabytes = (bytes: number): string => Math.round(bytes / 1_000_000).toLocaleString('en-US')
