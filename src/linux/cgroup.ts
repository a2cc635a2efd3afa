/** Control groups, version 2, without controllers: membership, freezing and killing. See the kernel's admin-guide/cgroup-v2. */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { CutoverError } from '../core/errors.ts'
import type { Pid } from '../core/words.ts'

/**
 * Where cgroup v2 is mounted, as a directory.
 * @throws CutoverError `failed` if it is not mounted.
 */
export function cgroupRoot(): string {
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, directory, type] = line.split(' ')
    if (type === 'cgroup2' && directory) return directory
  }
  throw new CutoverError('failed', 'cgroup v2 is not mounted; mount it with: mount -t cgroup2 none /sys/fs/cgroup')
}

/** Makes the cgroup and its parents; one that exists is left as it is. */
export function createCgroup(directory: string): void {
  mkdirSync(directory, { recursive: true })
}

/** The id by which the kernel names the cgroup (bpf_get_current_cgroup_id, sock_diag): its inode number. */
export const cgroupId = (directory: string): bigint => statSync(directory, { bigint: true }).ino

/** The ids of the cgroup and of all below it. */
export const cgroupIds = (directory: string): bigint[] => [
  cgroupId(directory),
  ...subgroups(directory).flatMap(cgroupIds),
]

/** The cgroups right below it. */
export const subgroups = (directory: string): string[] =>
  readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(directory, entry.name))

/** The processes of the cgroup and of all below it; none if it does not exist. */
export function cgroupPids(directory: string): Pid[] {
  try {
    const own = readFileSync(join(directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)
    return [...own, ...subgroups(directory).flatMap(cgroupPids)]
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

/** SIGKILL for every process of the cgroup and of all below it, in one step (Linux 5.14). Processes end a moment later. */
export function killCgroup(directory: string): void {
  try {
    writeFileSync(join(directory, 'cgroup.kill'), '1')
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

/** Stops every process of the cgroup and of all below it where it is; they stand still a moment later. SIGKILL ends them all the same. */
export const freezeCgroup = (directory: string): void => setFrozen(directory, true)

/** They go on. A cgroup that does not exist is fine, for both. */
export const thawCgroup = (directory: string): void => setFrozen(directory, false)

function setFrozen(directory: string, frozen: boolean): void {
  try {
    writeFileSync(join(directory, 'cgroup.freeze'), frozen ? '1' : '0')
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

/** Removes the cgroup and all below it. It must hold no process (EBUSY otherwise); one that does not exist is fine. */
export function removeCgroup(directory: string): void {
  try {
    for (const below of subgroups(directory)) removeCgroup(below)
    rmdirSync(directory)
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

/**
 * Runs `act` with this whole process inside the cgroup, and goes back: what `act` starts is born there, so that no moment exists in
 * which a child is outside its hooks. `act` must not suspend. Cgroup membership is inherited at fork(2).
 *
 * The way back is open before the way in is taken: whoever ends all that is inside must never find this process there.
 */
export function insideCgroup<T>(directory: string, act: () => T): T {
  using open = new DisposableStack()
  const entrance = (path: string) => open.adopt(openSync(join(path, 'cgroup.procs'), 'w'), closeSync)
  const home = entrance(join(cgroupRoot(), ownCgroup()))
  writeSync(entrance(directory), '0')
  try {
    return act()
  } finally {
    writeSync(home, '0')
  }
}

/** Leaves the cgroup of whoever started this process, for the root, if it is one of these: what happens to that one must not happen to us. */
export function leaveCgroup(isOne: (path: string) => boolean): void {
  if (isOne(ownCgroup())) writeFileSync(join(cgroupRoot(), 'cgroup.procs'), '0')
}

/** The process's path in the hierarchy, as in `/system.slice/ssh.service`; `/` if it has gone. See cgroups(7), /proc/pid/cgroup. */
export function cgroupOf(pid: Pid): string {
  try {
    return /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '/'
  } catch (error) {
    if (isGone(error) || (error instanceof Error && 'code' in error && error.code === 'ESRCH')) return '/'
    throw error
  }
}

const ownCgroup = (): string => cgroupOf(process.pid)

/** The cgroup does not exist (any more). */
export const isGone = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENODEV')
