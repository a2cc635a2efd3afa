/** The bpf file system, in which programs and maps outlive the process that loaded them. See mount(2), umount2(2), proc_pid_mounts(5). */
import { mkdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { attempt, SystemError, syscall } from './ffi.ts'

/** The first of the directories on which a bpffs is mounted, or null. */
export function findBpffs(directories: readonly string[]): string | null {
  const mounted = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type]) => type === 'bpf')
    .map(([, directory = '']) => unescaped(directory))
  return directories.find((directory) => mounted.includes(directory)) ?? null
}

/**
 * Mounts a new bpffs on the directory, which is made if need be; only root may enter it.
 * @throws SystemError EPERM without CAP_SYS_ADMIN, ENODEV if the kernel has none.
 */
export function mountBpffs(directory: string): void {
  mkdirSync(directory, { recursive: true })
  try {
    syscall('mount', cString('bpf'), cString(directory), cString('bpf'), noSuidDevExec, cString('mode=0700'))
  } catch (error) {
    rmSync(directory, { recursive: true })
    throw error
  }
}

/** Undoes {@link mountBpffs}, the directory included. Throws as {@link unmount} does. */
export function unmountBpffs(directory: string): void {
  unmount(directory)
  rmSync(directory, { recursive: true, force: true })
}

/** Unmounts what is mounted on the directory; nothing mounted there is fine. EBUSY while somebody uses it. */
export function unmount(directory: string): void {
  const result = attempt('umount2', cString(directory), 0)
  if (result >= 0) return
  const error = new SystemError('umount2', -result, directory)
  if (error.code !== 'EINVAL' && error.code !== 'ENOENT') throw error
}

/**
 * Whether process 1 finds the same file system there, as it does where both are in one mount namespace, or where it was mounted before they parted.
 * Another process is looked into by whoever may trace it only: see mount_namespaces(7), ptrace(2).
 */
export function isSeenByInit(directory: string): 'same namespace' | 'seen' | 'unseen' | 'unknown' {
  try {
    if (readlinkSync('/proc/1/ns/mnt') === readlinkSync('/proc/self/ns/mnt')) return 'same namespace'
    const theirs = statSync(`/proc/1/root${directory}`, { throwIfNoEntry: false })
    return theirs?.dev === statSync(directory).dev ? 'seen' : 'unseen'
  } catch {
    return 'unknown'
  }
}

/** MS_NOSUID | MS_NODEV | MS_NOEXEC */
const noSuidDevExec = 2 | 4 | 8

const cString = (text: string): Buffer => Buffer.from(`${text}\0`)

/** Space, tab, newline and backslash are written as `\040` and the like. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
