/**
 * What a process and its children did to the files of a directory, from strace(1), and the directories that a power cut could have left at any
 * moment of it. What was not synced is dropped; what fsync(2) and syncfs(2) cover stays, and with it every name that was there then, since file
 * systems commit names in their order (ext4's journal, xfs's log).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { TestContext } from 'node:test'

/** Begins to write the calls of that process, and of those that it starts, to the file: those that change files if none are named. */
export async function recordCalls(
  t: TestContext,
  pid: number,
  file: string,
  calls: readonly string[] = changingCalls,
): Promise<void> {
  const options = ['-f', '-y', '-xx', '-s', '16777216', '-ttt', '-e', `trace=${calls.join(',')}`]
  const strace = spawn('strace', [...options, '-o', file, '-p', String(pid)], { stdio: ['ignore', 'ignore', 'pipe'] })
  t.after(() => strace.kill('SIGKILL'))
  // It says so when it has attached itself.
  await once(strace.stderr, 'data')
}

const changingCalls = [
  ...['openat', 'write', 'pwrite64', 'ftruncate', 'copy_file_range', 'sendfile'],
  ...['rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir', 'mkdir', 'mkdirat', 'symlink', 'symlinkat'],
  ...['fsync', 'fdatasync', 'syncfs'],
]

/** A file: what a reader sees, and what is on the disk. A directory has neither, a link has its text. */
interface Node {
  content: Buffer | null
  onDisk: Buffer | null
  readonly link: string | null
}

type Names = ReadonlyMap<string, Node>

export interface Cut {
  /** Seconds since 1970. */
  readonly at: number
  /** What was done last, for people. */
  readonly after: string
  /** Writes what is left into an empty directory. */
  restore(directory: string): void
}

/**
 * Every directory that could have been left, in the order of the moments: after each change of a name, and after each sync.
 * @param before the files that were there, on the disk, when the recording began
 */
export function cutsOf(
  trace: string,
  root: string,
  before: Readonly<Record<string, Buffer>>,
  isKept: (path: string) => boolean,
): Cut[] {
  const names = new Map<string, Node>(
    Object.entries(before).map(([path, data]) => [path, { content: data, onDisk: data, link: null }]),
  )
  const open = new Map<string, string>()
  const cuts: Cut[] = []
  let durable: Names = new Map(names)

  const inside = (path: string): string | null => {
    const place = relative(root, path)
    return place === '' || place.startsWith('..') || !isKept(place) ? null : place
  }
  const snapshot = (): Names => new Map([...names].map(([path, node]) => [path, { ...node }]))
  const cut = (at: number, after: string, left: Names) => {
    // What was written and not synced is lost, whatever its name says.
    const files = [...left].map(([path, { onDisk, content, link }]) => ({
      path,
      link,
      data: content && (onDisk ?? Buffer.alloc(0)),
    }))
    cuts.push({ at, after, restore: (directory) => restore(directory, files) })
  }
  const write = (path: string, data: Buffer, from: number | null) => {
    const node = names.get(path)
    if (!node?.content) return
    const start = from ?? node.content.length
    const grown = Buffer.alloc(Math.max(node.content.length, start + data.length))
    node.content.copy(grown)
    data.copy(grown, start)
    node.content = grown
  }
  const move = (from: string, to: string) => {
    for (const [path, node] of [...names]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue
      names.delete(path)
      names.set(to + path.slice(from.length), node)
    }
  }

  for (const { call, args, at, result } of callsIn(trace, open)) {
    const [first = '', second = ''] = args
    const path = inside(first)
    const after = `${call} ${path ?? ''}`
    switch (call) {
      case 'openat': {
        const opened = inside(second)
        const flags = args[2] ?? ''
        if (opened === null || !/O_CREAT|O_TRUNC/.test(flags)) continue
        const node = names.get(opened)
        if (node && flags.includes('O_TRUNC')) node.content = Buffer.alloc(0)
        if (node) continue
        names.set(opened, { content: Buffer.alloc(0), onDisk: null, link: null })
        cut(at, `open ${opened}`, snapshot())
        continue
      }
      case 'write':
        if (path !== null) write(path, Buffer.from(second, 'latin1').subarray(0, result), null)
        continue
      case 'pwrite64':
        if (path !== null) write(path, Buffer.from(second, 'latin1').subarray(0, result), Number(args[3]))
        continue
      case 'ftruncate': {
        const node = path === null ? undefined : names.get(path)
        if (node?.content)
          node.content = Buffer.concat([node.content, Buffer.alloc(Number(second))]).subarray(0, Number(second))
        continue
      }
      case 'copy_file_range':
      case 'sendfile': {
        const [from = '', to] = call === 'sendfile' ? [second, inside(first)] : [first, inside(args[2] ?? '')]
        const source = names.get(inside(from) ?? '')?.content
        if (to !== null && result > 0) write(to, (source ?? readFileSync(from)).subarray(0, result), null)
        continue
      }
      case 'mkdir':
        if (path !== null) names.set(path, { content: null, onDisk: null, link: null })
        break
      case 'symlink': {
        const link = inside(second)
        if (link !== null) names.set(link, { content: null, onDisk: null, link: first })
        break
      }
      case 'rename': {
        const to = inside(second)
        if (path !== null && to !== null) move(path, to)
        break
      }
      case 'unlink':
      case 'rmdir':
        if (path !== null) names.delete(path)
        break
      case 'fsync':
      case 'fdatasync':
      case 'syncfs': {
        if (path === null && call !== 'syncfs' && !first.startsWith(root)) continue
        for (const [name, node] of names) if (call === 'syncfs' || name === path) node.onDisk = node.content
        durable = snapshot()
        cut(at, after, durable)
        continue
      }
    }
    cut(at, after, snapshot())
    cut(at, `${after}, of which nothing came to the disk`, durable)
  }
  return cuts
}

interface Call {
  readonly call: string
  /** Paths and data as latin1 text, everything else as it was written. */
  readonly args: readonly string[]
  readonly at: number
  readonly result: number
}

/** The calls that succeeded, in the order in which they ended; those relative to a descriptor as their plain sisters. */
function* callsIn(trace: string, open: Map<string, string>): Generator<Call> {
  const begun = new Map<string, string>()
  for (const line of trace.split('\n')) {
    const [, pid = '', time = '', rest = ''] = /^(\d+) +([\d.]+) (.*)$/.exec(line) ?? []
    if (rest.endsWith('<unfinished ...>')) {
      begun.set(pid, rest.slice(0, -'<unfinished ...>'.length))
      continue
    }
    const text = rest.replace(/^<\.\.\. \w+ resumed>/, () => begun.get(pid) ?? '')
    const [, call = '', written = '', result = ''] = /^(\w+)\((.*)\) += (-?\d+)/.exec(text) ?? []
    if (call === '' || result.startsWith('-')) continue
    const args = written.split(/, (?![^<]*>)/).map((argument) => plain(argument, open))
    if (call === 'openat') {
      const path = absolute(args[0] ?? '', args[1] ?? '')
      open.set(result, path)
      yield { call, args: ['', path, args[2] ?? ''], at: Number(time), result: Number(result) }
      continue
    }
    yield { ...withoutDescriptors(call, args), at: Number(time), result: Number(result) }
  }
}

function withoutDescriptors(call: string, args: readonly string[]): Pick<Call, 'call' | 'args'> {
  const [a = '', b = '', c = '', d = ''] = args
  switch (call) {
    case 'mkdirat':
      return { call: 'mkdir', args: [absolute(a, b)] }
    case 'unlinkat':
      return { call: 'unlink', args: [absolute(a, b)] }
    case 'symlinkat':
      return { call: 'symlink', args: [a, absolute(b, c)] }
    case 'renameat':
    case 'renameat2':
      return { call: 'rename', args: [absolute(a, b), absolute(c, d)] }
    default:
      return { call, args }
  }
}

const absolute = (directory: string, path: string): string => (path.startsWith('/') ? path : join(directory, path))

/** A quoted string, a descriptor's path (`21</tmp/x>`), or what else there is; `/proc/self/fd/N` is the path that was opened as N. */
function plain(argument: string, open: ReadonlyMap<string, string>): string {
  const quoted = /^"(.*)"(?:\.\.\.)?$/.exec(argument)?.[1] ?? /^\w+<(.*)>$/.exec(argument)?.[1]
  if (quoted === undefined) return argument
  const text = quoted.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return text.replace(/^\/proc\/self\/fd\/(\d+)/, (whole, fd: string) => open.get(fd) ?? whole)
}

function restore(
  directory: string,
  files: readonly { path: string; link: string | null; data: Buffer | null }[],
): void {
  for (const { path, link, data } of files.toSorted((a, b) => a.path.localeCompare(b.path))) {
    const to = join(directory, path)
    mkdirSync(dirname(to), { recursive: true })
    if (link !== null) symlinkSync(link, to)
    else if (data === null) mkdirSync(to, { recursive: true })
    else writeFileSync(to, data)
  }
}
