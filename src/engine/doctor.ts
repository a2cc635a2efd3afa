/** What this machine can do, found by trying it and not by comparing versions. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { activeOf } from '../core/app.ts'
import { type DoctorCheck, type DoctorReport, schema } from '../core/documents.ts'
import { oomScoreOf } from '../core/oom.ts'
import { canLetGo } from '../instances/log-hole.ts'
import { cgroupId, createCgroup, insideCgroup, removeCgroup } from '../linux/cgroup.ts'
import { inheritedOomScore, oomScore } from '../linux/oom.ts'
import { openPidfd } from '../linux/process.ts'
import { dumpTcp } from '../linux/sock-diag.ts'
import type { Home } from '../store/home.ts'
import type { Node } from './node.ts'
import { endSteeringIfUnused } from './release-ports.ts'

/** Tries each thing that `steer` needs. What was made for that is gone again afterwards. */
export async function doctor(node: Node): Promise<DoctorReport> {
  const needed = [
    tried('root', () => requireRoot()),
    tried('cgroup v2', () => enterCgroup(node)),
    tried('kernel programs', () => loadPrograms(node)),
    tried('other steering', () => nameStrangers(node)),
    tried('sockets', () => `${dumpTcp({ states: ['listen'] }).length} listeners seen by sock_diag`),
    tried('processes', () => openOwnPidfd()),
  ]
  endSteeringIfUnused(node)
  const works = needed.every(({ ok }) => ok)
  return {
    schema,
    strategy: works ? 'steer' : null,
    checks: [
      ...needed,
      tried('memory', () => diesLast()),
      tried('logs', () => letGoOfLogs(node.home)),
      ...rootApps(node),
    ],
  }
}

function tried(check: string, attempt: () => string): DoctorCheck {
  try {
    return { check, ok: true, text: attempt() }
  } catch (error) {
    return { check, ok: false, text: error instanceof Error ? error.message : String(error) }
  }
}

function requireRoot(): string {
  if (process.geteuid?.() !== 0) throw new Error('the daemon runs as an ordinary user; steer needs root')
  return 'the daemon runs as root'
}

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
  const found = node.steering().releases().length
  return `loaded, proven for all ports, attached and pinned; ${found} releases in them`
}

/** They and Cutover's are asked one after the other, and each leaves to the others what it does not know. */
function nameStrangers(node: Node): string {
  const names = node
    .steering()
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

/** An app runs without it, but where memory is used up the kernel may end the daemon before a release that nobody needs. */
function diesLast(): string {
  const wanted = oomScoreOf('daemon', inheritedOomScore)
  if (oomScore() > wanted)
    throw new Error(
      `the daemon may not set its oom_score_adj to ${wanted} (CAP_SYS_RESOURCE): it may be ended before apps`,
    )
  return 'if memory is used up, what does not serve ends first, then active releases, and the daemon last'
}

/** An app runs without it, but its log grows without end. */
function letGoOfLogs({ directory }: Home): string {
  if (!canLetGo(directory))
    throw new Error(`the file system of ${directory} cannot let go of the beginning of a file: logs grow without end`)
  return 'the oldest part of a log is let go where it passes its max'
}

/** Not a hindrance, but worth knowing. */
function rootApps(node: Node): DoctorCheck[] {
  return node.store.apps.list().flatMap(({ name }) => {
    const active = activeOf(node.store.apps.state(name))
    if (active === null || node.store.apps.config(name, active.number).owner.uid !== 0) return []
    const text = `${name} runs as root: set "user" in its cutover.yaml, or give its folder to a user of its own`
    return [{ check: `user of ${name}`, ok: false, text }]
  })
}
