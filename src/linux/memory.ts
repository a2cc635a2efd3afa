/** How much memory can still be had. See proc_meminfo(5), the kernel's admin-guide/cgroup-v2 and admin-guide/cgroup-v1/memory. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export interface FreeMemory {
  /** Bytes, with what the kernel would take back from its caches, and swap. */
  readonly bytes: number
  /** The cgroup whose limit leaves no more; null if it is the machine that has no more. */
  readonly limitOf: string | null
}

/**
 * What a process can still get that is started by this one and put into that cgroup of version 2 (which need not be there yet). Processes stay in
 * this one's cgroup of the memory controller's version 1.
 */
export function freeMemory(cgroup: string): FreeMemory {
  const info = fields(readFileSync('/proc/meminfo', 'utf8'))
  const kilobytes = (name: string) => (info.get(`${name}:`) ?? 0) * 1024
  const swap = kilobytes('SwapFree')
  const machine: FreeMemory = { bytes: kilobytes('MemAvailable') + swap, limitOf: null }
  const limits = [...upwards(ownMemoryCgroup()), ...upwards(cgroup)].flatMap((directory) => {
    const left = leftIn(directory)
    return left === null ? [] : [{ bytes: left + swap, limitOf: directory }]
  })
  return [machine, ...limits].reduce((least, one) => (one.bytes < least.bytes ? one : least))
}

/** Swap of the machine, in bytes. */
export function swapMemory(): { readonly total: number; readonly free: number } {
  const info = fields(readFileSync('/proc/meminfo', 'utf8'))
  const bytes = (name: string) => (info.get(`${name}:`) ?? 0) * 1024
  return { total: bytes('SwapTotal'), free: bytes('SwapFree') }
}

/** What the limit of this very cgroup leaves; null if it has none. */
function leftIn(directory: string): number | null {
  const limit = number(directory, 'memory.max') ?? number(directory, 'memory.limit_in_bytes')
  const used = number(directory, 'memory.current') ?? number(directory, 'memory.usage_in_bytes')
  if (limit === null || used === null) return null
  const stat = fields(read(join(directory, 'memory.stat')) ?? '')
  const caches = ['inactive_file', 'active_file'].map((name) => stat.get(`total_${name}`) ?? stat.get(name) ?? 0)
  return Math.max(0, limit - used + caches.reduce((sum, bytes) => sum + bytes, 0))
}

/** This process's cgroup of the memory controller, version 1; null where that is not in use. */
function ownMemoryCgroup(): string | null {
  const path = /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1]
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const [, , , root = '', at] = before.split(' ')
    const [type, , options = ''] = after.split(' ')
    if (path === undefined || at === undefined || type !== 'cgroup' || !options.split(',').includes('memory')) continue
    // A container sees its own part of the tree only, but is told its path from the top.
    const below = root !== '/' && path.startsWith(root) ? path.slice(root.length) : path
    return existsSync(join(at, below)) ? join(at, below) : at
  }
  return null
}

/** The directory and those above it, as long as they are cgroups. */
function upwards(directory: string | null): string[] {
  if (directory === null || directory === dirname(directory)) return []
  const above = upwards(dirname(directory))
  return existsSync(join(directory, 'cgroup.procs')) ? [directory, ...above] : above
}

/** `name value` a line. */
const fields = (text: string): ReadonlyMap<string, number> =>
  new Map(text.split('\n').map((line) => [line.split(/\s+/)[0] ?? '', Number(line.split(/\s+/)[1] ?? 0)]))

/** The number in a file of a cgroup; null if there is no such file, or if it says `max`. */
function number(directory: string, file: string): number | null {
  const text = read(join(directory, file))?.trim()
  return text === undefined || text === 'max' ? null : Number(text)
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // The controller is not on for this cgroup, or the cgroup has gone.
    return null
  }
}
