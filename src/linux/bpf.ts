/**
 * bpf(2), as far as steering needs it: maps, programs, links, pins, and running a program to see what it would do.
 * No libbpf, no BTF. Linux 5.14 for sk_reuseport/migrate; what is used of each type is tried by `doctor`, not read from a version.
 */
import { openSync } from 'node:fs'
import { address, attempt, Descriptor, SystemError } from './ffi.ts'

/** enum bpf_cmd, bpf_map_type, bpf_prog_type and bpf_attach_type of linux/bpf.h. */
const command = {
  mapCreate: 0,
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  mapNextKey: 4,
  programLoad: 5,
  pin: 6,
  get: 7,
  testRun: 10,
  info: 15,
  mapFreeze: 22,
  linkCreate: 28,
  linkUpdate: 29,
} as const

/** What a program is for, by the name of its section in the object file. */
export const programKinds = {
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

/** What a map is made of; `type` and `flags` as in linux/bpf.h. */
export interface MapDefinition {
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

/** BPF_MAP_TYPE_ARRAY; BPF_F_RDONLY_PROG; BPF_NOEXIST */
const arrayType = 2
const readOnlyForPrograms = 1 << 7
const onlyIfAbsent = 1

/** A program, a link, or another object of the kernel that lives as long as somebody holds or pins it. */
export type KernelObject = Descriptor

/** A map. Keys and values are raw bytes of exactly the sizes that it was made with. */
export interface BpfMap extends Disposable {
  readonly fd: number
  /** The value, in a buffer of its own, or null. For a socket map: the socket's cookie. */
  get(key: Uint8Array): Buffer | null
  /** Writes the value. The quickest way there is: one call, nothing allocated. SystemError if the kernel refuses (E2BIG: full). */
  set(key: Uint8Array, value: Uint8Array): void
  /** Writes the value if the key is not there yet; says whether it was written. */
  add(key: Uint8Array, value: Uint8Array): boolean
  /** False if it was not there. */
  delete(key: Uint8Array): boolean
  /** All keys, as they were at some moment; what is changed meanwhile may be missing. Bounded by the size of the map. */
  keys(): Buffer[]
}

const attributes = (size: number, fill: (bytes: Buffer) => void): Buffer => {
  const bytes = Buffer.alloc(size)
  fill(bytes)
  return bytes
}

const bpf = (what: number, bytes: Buffer, name: string): number => {
  const result = attempt('bpf', what, bytes, bytes.length)
  if (result < 0) throw new SystemError(`bpf ${name}`, -result)
  return result
}

/** `union bpf_attr`'s name fields take 15 bytes. */
const writeName = (bytes: Buffer, name: string, at: number) => void bytes.write(name.slice(0, 15), at, 'latin1')

/** Makes a map. SystemError EPERM without CAP_BPF (and CAP_NET_ADMIN), EINVAL if the kernel does not know the type. */
export function createMap(definition: MapDefinition, name: string): BpfMap {
  const fd = bpf(
    command.mapCreate,
    attributes(64, (bytes) => {
      bytes.writeUInt32LE(definition.type, 0)
      bytes.writeUInt32LE(definition.keySize, 4)
      bytes.writeUInt32LE(definition.valueSize, 8)
      bytes.writeUInt32LE(definition.maxEntries, 12)
      bytes.writeUInt32LE(definition.flags, 16)
      writeName(bytes, name, 28)
    }),
    `map create ${name}`,
  )
  return mapOf(fd, definition)
}

/** A map with one entry that neither programs nor user space can change any more: a program's constants. */
export function createConstants(value: Uint8Array): BpfMap {
  const map = createMap(
    { type: arrayType, keySize: 4, valueSize: value.length, maxEntries: 1, flags: readOnlyForPrograms },
    'constants',
  )
  map.set(Buffer.alloc(4), value)
  bpf(
    command.mapFreeze,
    attributes(4, (bytes) => void bytes.writeUInt32LE(map.fd, 0)),
    'map freeze',
  )
  return map
}

/** Opens a map that was pinned. The definition must be the one that it was made with. */
export const openMap = (path: string, definition: MapDefinition): BpfMap => mapOf(getPinned(path).release(), definition)

function mapOf(fd: number, { keySize, valueSize, maxEntries }: MapDefinition): BpfMap {
  const descriptor = new Descriptor(fd)
  const key = Buffer.alloc(keySize)
  const value = Buffer.alloc(valueSize)
  const request = attributes(32, (bytes) => {
    bytes.writeUInt32LE(fd, 0)
    bytes.writeBigUInt64LE(address(key), 8)
    bytes.writeBigUInt64LE(address(value), 16)
  })
  // A deletion must not name a value.
  const removal = attributes(32, (bytes) => {
    bytes.writeUInt32LE(fd, 0)
    bytes.writeBigUInt64LE(address(key), 8)
  })
  const at = address(request)
  const run = (what: number): number => attempt('bpf', what, what === command.mapDelete ? removal : at, 32)

  const write = (newKey: Uint8Array, newValue: Uint8Array, flags: number): number => {
    key.set(newKey)
    value.set(newValue)
    request[24] = flags
    return run(command.mapUpdate)
  }
  const lookFor = (what: number, wanted: Uint8Array): boolean => {
    key.set(wanted)
    request[24] = 0
    const result = run(what)
    if (result < 0 && -result !== noEntry) throw new SystemError('bpf map', -result)
    return result >= 0
  }
  return {
    fd,
    get: (wanted) => (lookFor(command.mapLookup, wanted) ? Buffer.from(value) : null),
    set(newKey, newValue) {
      const result = write(newKey, newValue, 0)
      if (result < 0) throw new SystemError('bpf map update', -result)
    },
    add(newKey, newValue) {
      const result = write(newKey, newValue, onlyIfAbsent)
      if (result < 0 && -result !== exists) throw new SystemError('bpf map update', -result)
      return result >= 0
    },
    delete: (wanted) => lookFor(command.mapDelete, wanted),
    keys() {
      const found: Buffer[] = []
      const next = Buffer.alloc(keySize)
      const step = attributes(32, (bytes) => {
        bytes.writeUInt32LE(fd, 0)
        bytes.writeBigUInt64LE(address(next), 16)
      })
      while (found.length < maxEntries && attempt('bpf', command.mapNextKey, step, 32) >= 0) {
        const last = Buffer.from(next)
        found.push(last)
        step.writeBigUInt64LE(address(last), 8)
      }
      return found
    },
    [Symbol.dispose]: () => descriptor[Symbol.dispose](),
  }
}

/** ENOENT, EAGAIN, EEXIST */
const noEntry = 2
const interrupted = 11
const exists = 17

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

/** Puts another program of the same kind in a link's place in one step: at no moment there is none. Linux 5.8. */
export function updateLink(link: KernelObject, program: KernelObject): void {
  const request = attributes(64, (bytes) => {
    bytes.writeUInt32LE(link.fd, 0)
    bytes.writeUInt32LE(program.fd, 4)
  })
  bpf(command.linkUpdate, request, 'link update')
}

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

/** What the kernel tells about a link: its program's id, and to which namespace (inode) or cgroup (id) it is attached; 0 if that is gone. */
export function linkInfo(link: KernelObject): { readonly program: number; readonly target: bigint } {
  const netnsLink = 5
  const info = infoOf(link)
  const target = info.readUInt32LE(0) === netnsLink ? BigInt(info.readUInt32LE(16)) : info.readBigUInt64LE(16)
  return { program: info.readUInt32LE(8), target }
}

/** The kernel's digest of a program's instructions: equal for equal code, whatever maps it was loaded with. */
export const programTag = (program: KernelObject): string => infoOf(program).toString('hex', 8, 16)

function infoOf(object: KernelObject): Buffer {
  const info = Buffer.alloc(256)
  const request = attributes(16, (bytes) => {
    bytes.writeUInt32LE(object.fd, 0)
    bytes.writeUInt32LE(info.length, 4)
    bytes.writeBigUInt64LE(address(info), 8)
  })
  bpf(command.info, request, 'object info')
  return info
}

/** A prepared BPF_PROG_TEST_RUN: runs the program on `context` as it stands, which the kernel overwrites, and returns its verdict. */
export function prepareRun(program: KernelObject, context: Buffer): () => number {
  const request = attributes(80, (bytes) => {
    bytes.writeUInt32LE(program.fd, 0)
    bytes.writeUInt32LE(context.length, 40)
    bytes.writeUInt32LE(context.length, 44)
    bytes.writeBigUInt64LE(address(context), 48)
    bytes.writeBigUInt64LE(address(context), 56)
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
