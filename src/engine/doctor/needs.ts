/** What the strategy `steer` cannot do without. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { DoctorCheck } from '../../core/documents.ts'
import { cgroupId, createCgroup, insideCgroup, removeCgroup } from '../../linux/cgroup.ts'
import { openPidfd } from '../../linux/process.ts'
import { dumpTcp } from '../../linux/sock-diag.ts'
import type { Node } from '../node.ts'
import { tried } from './check.ts'

export const needsOfSteer = (node: Node): DoctorCheck[] => [
  tried('cgroup v2', 'It has to be mounted and writable, in a container too.', () => enterCgroup(node)),
  tried(
    'kernel programs',
    'The kernel has to have BPF for cgroups, sk_lookup and SO_REUSEPORT, and a container has to have the right to load it (CAP_BPF and CAP_NET_ADMIN).',
    () => loadPrograms(node),
  ),
  tried('other steering', 'It cannot be asked before the kernel programs load.', () => nameStrangers(node)),
  tried(
    'sockets',
    'The kernel has to have sock_diag: modprobe tcp_diag.',
    () => `${dumpTcp({ states: ['listen'] }).length} listeners seen by sock_diag`,
  ),
  tried('processes', 'A container may have to be allowed pidfd_open (seccomp).', openOwnPidfd),
]

function enterCgroup(node: Node): string {
  const cgroup = join(node.cgroup, 'doctor')
  createCgroup(cgroup)
  try {
    const { stdout, error } = insideCgroup(cgroup, () =>
      spawnSync('cat', ['/proc/self/cgroup'], { encoding: 'utf8', timeout: 5000 }),
    )
    if (error) throw error
    if (!stdout.includes('/doctor')) throw new Error(`a process was started in ${stdout.trim()} instead of ${cgroup}`)
    return `a process was started in a cgroup of its own (id ${cgroupId(cgroup)})`
  } finally {
    removeCgroup(cgroup)
  }
}

/** Opening proves the look-up program over all ports before it is attached; without apps it is taken away again. */
function loadPrograms(node: Node): string {
  const found = node.steer().releases().length
  return `loaded, proven for all ports, attached and pinned; ${found} releases in them`
}

/** They and Cutover's are asked one after the other, and each leaves to the others what it does not know. */
function nameStrangers(node: Node): string {
  const names = node
    .steer()
    .strangers()
    .map(({ id, name }) => `${name} (program ${id})`)
  if (names.length === 0) return 'no other sk_lookup program in this network namespace'
  return `other sk_lookup programs in this network namespace, beside which Cutover works: ${names.join(', ')}`
}

function openOwnPidfd(): string {
  using pidfd = openPidfd(process.pid)
  if (pidfd === null) throw new Error('pidfd_open found no descriptor for a running process')
  return 'processes are known by descriptor'
}
