/**
 * bpf(2), as far as steering needs it: programs, links, pins, and running a program to see what it would do.
 * No libbpf, and no BTF but for the one kind of map that demands it. Linux 5.14 for sk_reuseport/migrate; what is used of each type is tried by `doctor`, not read from a version.
 */
import { openSync } from 'node:fs'
import { address, attempt, Descriptor, SystemError } from './ffi.ts'

/** enum bpf_cmd of linux/bpf.h. */
export const command = {
  mapCreate: 0,
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  mapNextKey: 4,
  programLoad: 5,
  pin: 6,
  get: 7,
  testRun: 10,
  programById: 13,
  info: 15,
  query: 16,
  typesLoad: 18,
  mapFreeze: 22,
  linkCreate: 28,
  linkUpdate: 29,
} as const

/** What a program is for, by the name of its section in the object file; enum bpf_prog_type and bpf_attach_type. */
const programKinds = {
  sk_lookup: { type: 30, attach: 36 },
  'sk_reuseport/migrate': { type: 21, attach: 40 },
  'cgroup/bind4': { type: 18, attach: 8 },
  'cgroup/bind6': { type: 18, attach: 9 },
  'cgroup/setsockopt': { type: 25, attach: 22 },
  'cgroup/sock_create': { type: 9, attach: 2 },
  sockops: { type: 13, attach: 3 },
} as const

export type ProgramKind = keyof typeof programKinds

export const isProgramKind = (section: string): section is ProgramKind => section in programKinds

/** A program, a link, or another object of the kernel that lives as long as somebody holds or pins it. */
export type KernelObject = Descriptor

/** `union bpf_attr`, as far as a command reads it. */
export const attributes = (size: number, fill: (bytes: Buffer) => void): Buffer => {
  const bytes = Buffer.alloc(size)
  fill(bytes)
  return bytes
}

/** Makes the call; `name` says in the error what was tried. */
export const bpf = (what: number, bytes: Buffer, name: string): number => {
  const result = attempt('bpf', what, bytes, bytes.length)
  if (result < 0) throw new SystemError(`bpf ${name}`, -result)
  return result
}

/** Name fields take 15 bytes. */
export const writeName = (bytes: Buffer, name: string, at: number) => void bytes.write(name.slice(0, 15), at, 'latin1')

/** EAGAIN */
const interrupted = 11

/** What the verifier said is this long at most; it goes into the error. */
const logSize = 1 << 16

/**
 * Loads a program; its instructions name the maps by descriptor already.
 * @throws SystemError with the end of the verifier's words.
 */
export function loadProgram(kind: ProgramKind, instructions: Uint8Array, name: string): KernelObject {
  const license = Buffer.from('GPL\0')
  const { type, attach } = programKinds[kind]
  const request = attributes(128, (bytes) => {
    bytes.writeUInt32LE(type, 0)
    bytes.writeUInt32LE(instructions.length / 8, 4)
    bytes.writeBigUInt64LE(address(instructions), 8)
    bytes.writeBigUInt64LE(address(license), 16)
    writeName(bytes, name, 48)
    bytes.writeUInt32LE(attach, 68)
  })
  // The verifier gives up when a signal comes for this thread; libbpf tries five times as well.
  let fd = attempt('bpf', command.programLoad, request, request.length)
  for (let tries = 1; fd === -interrupted && tries < 5; tries++)
    fd = attempt('bpf', command.programLoad, request, request.length)
  if (fd >= 0) return new Descriptor(fd)

  const log = Buffer.alloc(logSize)
  request.writeUInt32LE(1, 24)
  request.writeUInt32LE(log.length, 28)
  request.writeBigUInt64LE(address(log), 32)
  const again = attempt('bpf', command.programLoad, request, request.length)
  if (again >= 0) return new Descriptor(again)
  const words = log.toString('latin1', 0, Math.max(0, log.indexOf(0)))
  throw new SystemError(`bpf program load ${name}`, -fd, words.trim().split('\n').slice(-4).join('; '))
}

/** Attaches a program to a cgroup or a network namespace, given as a descriptor; it stays while the link lives. */
export const createLink = (program: KernelObject, kind: ProgramKind, target: number): KernelObject =>
  new Descriptor(
    bpf(
      command.linkCreate,
      attributes(64, (bytes) => {
        bytes.writeUInt32LE(program.fd, 0)
        bytes.writeUInt32LE(target, 4)
        bytes.writeUInt32LE(programKinds[kind].attach, 8)
      }),
      `link create ${kind}`,
    ),
  )

/**
 * Puts another program of the same kind in the place of the link's, in one step: whatever comes meets the one or the other. ENOLINK if what it
 * was attached to has gone. Linux 5.8.
 */
export const updateLink = (link: KernelObject, program: KernelObject): void =>
  void bpf(
    command.linkUpdate,
    attributes(16, (bytes) => {
      bytes.writeUInt32LE(link.fd, 0)
      bytes.writeUInt32LE(program.fd, 4)
    }),
    'link update',
  )

/** Gives the object a name in a bpffs, under which it outlives this process. The name must not contain a dot. EEXIST if it is taken. */
export const pin = (object: { readonly fd: number }, path: string): void =>
  void objectCall(command.pin, path, object.fd)

/** Opens what was pinned. ENOENT if nothing is. */
export const getPinned = (path: string): KernelObject => new Descriptor(objectCall(command.get, path, 0))

function objectCall(what: number, path: string, fd: number): number {
  const name = Buffer.from(`${path}\0`)
  const request = attributes(16, (bytes) => {
    bytes.writeBigUInt64LE(address(name), 0)
    bytes.writeUInt32LE(fd, 8)
  })
  return bpf(what, request, `${what === command.pin ? 'pin' : 'open'} ${path}`)
}

export interface LinkInfo {
  /** The id of its program. */
  readonly program: number
  /** Of a link to a network namespace: the namespace's inode, 0n once it has gone. */
  readonly netns: bigint
}

/** `struct bpf_link_info` */
export function linkInfo(link: KernelObject): LinkInfo {
  const info = objectInfo(link)
  return { program: info.readUInt32LE(8), netns: BigInt(info.readUInt32LE(16)) }
}

export interface ProgramInfo {
  /** The number by which the kernel knows it. */
  readonly id: number
  /** As whoever loaded it called it; 15 bytes at most. */
  readonly name: string
}

/** `struct bpf_prog_info` */
export function programInfo(program: KernelObject): ProgramInfo {
  const info = objectInfo(program)
  return { id: info.readUInt32LE(4), name: info.toString('latin1', 64, info.indexOf(0, 64)) }
}

/** At most that many programs of one kind are told. */
const mostAttached = 64

/** The programs that are attached there by whomever, in the order in which they run. ENOSPC where there are more than 64. */
export function attachedPrograms(kind: ProgramKind, target: number): ProgramInfo[] {
  const ids = Buffer.alloc(4 * mostAttached)
  const request = attributes(64, (bytes) => {
    bytes.writeUInt32LE(target, 0)
    bytes.writeUInt32LE(programKinds[kind].attach, 4)
    bytes.writeBigUInt64LE(address(ids), 16)
    bytes.writeUInt32LE(mostAttached, 24)
  })
  bpf(command.query, request, `query ${kind}`)
  return Array.from({ length: request.readUInt32LE(24) }, (_, index) => ids.readUInt32LE(index * 4)).flatMap((id) => {
    const fd = attempt(
      'bpf',
      command.programById,
      attributes(16, (bytes) => void bytes.writeUInt32LE(id, 0)),
      16,
    )
    // It went meanwhile.
    if (fd < 0) return []
    using program = new Descriptor(fd)
    return [programInfo(program)]
  })
}

/** What the kernel says of any such object, as bytes of the structure of its kind. */
export function objectInfo(object: KernelObject): Buffer {
  const info = Buffer.alloc(256)
  const request = attributes(16, (bytes) => {
    bytes.writeUInt32LE(object.fd, 0)
    bytes.writeUInt32LE(info.length, 4)
    bytes.writeBigUInt64LE(address(info), 8)
  })
  bpf(command.info, request, 'object info')
  return info
}

/**
 * A prepared BPF_PROG_TEST_RUN: runs the program on `context` as it stands, returns its verdict, and leaves in `after` what the kernel made
 * of the context, which is of the same size.
 */
export function prepareRun(program: KernelObject, context: Buffer, after: Buffer): () => number {
  const request = attributes(80, (bytes) => {
    bytes.writeUInt32LE(program.fd, 0)
    bytes.writeUInt32LE(context.length, 40)
    bytes.writeUInt32LE(after.length, 44)
    bytes.writeBigUInt64LE(address(context), 48)
    bytes.writeBigUInt64LE(address(after), 56)
  })
  const at = address(request)
  return () => {
    const result = attempt('bpf', command.testRun, at, request.length)
    if (result < 0) throw new SystemError('bpf test run', -result)
    return request.readUInt32LE(4)
  }
}

/** Opens a directory (a cgroup) or a file (a namespace) for {@link createLink}. */
export const openTarget = (path: string): Descriptor => new Descriptor(openSync(path, 'r'))
