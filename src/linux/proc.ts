/** What /proc tells about processes. See proc(5); a process that has gone reads as null or as nothing. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import type { Pid } from '../core/words.ts'

/** Fields of /proc/pid/stat. */
export interface ProcessStat {
  /** `R`, `S`, `D`, `T`, `Z` and the like. */
  readonly state: string
  readonly parent: Pid
  readonly session: Pid
  /** More than one in a zombie: its first thread ended, the process lives. */
  readonly threads: number
  /** Clock ticks since boot. */
  readonly startTime: number
  /** As wait(2) tells it; of a zombie only, and readable by root or its own user only (else 0). */
  readonly waitStatus: number
}

export function processStat(pid: Pid): ProcessStat | null {
  const text = read(`/proc/${pid}/stat`)
  if (text === null) return null
  // The name stands in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number) => Number(fields[number - 3])
  return {
    state: fields[0] ?? '?',
    parent: field(4),
    session: field(6),
    threads: field(20),
    startTime: field(22),
    waitStatus: field(52),
  }
}

/**
 * The name of the program that the process runs, as in `nginx`; where its file may not be seen, the name that the process gave itself. Null
 * if it has gone.
 */
export const processName = (pid: Pid): string | null => program(pid) ?? read(`/proc/${pid}/comm`)?.trimEnd() ?? null

/**
 * The memory that the process takes, in bytes, pages shared with others counted by their share (Pss), so that the sum over the workers
 * of a pre-forking server is right. Without the right to ask, the resident size; 0 if it has gone.
 */
export function processMemory(pid: Pid): number {
  const text = read(`/proc/${pid}/smaps_rollup`) ?? read(`/proc/${pid}/status`) ?? ''
  return Number(/^(?:Pss|VmRSS):\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024
}

/** The environment with which its program was started, as `NAME=value`; none if it has gone, or is another user's. */
export const environmentOf = (pid: Pid): readonly string[] => read(`/proc/${pid}/environ`)?.split('\0') ?? []

const program = (pid: Pid): string | null => {
  const link = unlessGone(() => readlinkSync(`/proc/${pid}/exe`))
  return link === null ? null : basename(link.replace(/ \(deleted\)$/, ''))
}

const read = (path: string): string | null => unlessGone(() => readFileSync(path, 'utf8'))

function unlessGone<T>(act: () => T): T | null {
  try {
    return act()
  } catch (error) {
    if (error instanceof Error && 'code' in error && gone.has(String(error.code))) return null
    throw error
  }
}

/** ESRCH: the process ended between open and read. EACCES, EPERM: another user's. */
const gone = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM'])

/** Is the process in another network namespace than this one? See network_namespaces(7). */
export const isInOtherNetwork = (pid: Pid): boolean => {
  const [theirs, ours] = [pid, 'self'].map((who) => unlessGone(() => readlinkSync(`/proc/${who}/ns/net`)))
  return theirs !== null && theirs !== ours
}

/** The TCP ports on which anybody listens in the network namespace of the process. */
export function portsListenedOnBeside(pid: Pid): Set<number> {
  const lines = ['tcp', 'tcp6'].flatMap((name) => (read(`/proc/${pid}/net/${name}`) ?? '').split('\n').slice(1))
  return new Set(
    lines.flatMap((line) => /^ *\d+: \w+:(\w{4}) \S+ 0A /.exec(line)?.[1] ?? []).map((hex) => Number.parseInt(hex, 16)),
  )
}

/** The inodes of the sockets that the process has open; none if it has gone. */
export function socketInodes(pid: Pid): number[] {
  const directory = `/proc/${pid}/fd`
  // A process that is ending has closed them all already.
  const descriptors = unlessGone(() => readdirSync(directory)) ?? []
  return descriptors.flatMap((fd) => {
    const inode = /^socket:\[(\d+)\]$/.exec(unlessGone(() => readlinkSync(`${directory}/${fd}`)) ?? '')?.[1]
    return inode === undefined ? [] : [Number(inode)]
  })
}
