/** Maps of bpf(2): key and value stores that kernel programs and this process share. See the kernel's Documentation/bpf/maps.rst. */
import { attributes, bpf, command, getPinned, objectInfo, writeName } from './bpf.ts'
import { address, attempt, Descriptor, SystemError } from './ffi.ts'

/** What a map is made of; `type` and `flags` as in linux/bpf.h. */
export interface MapDefinition {
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

/** BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_SK_STORAGE; BPF_F_RDONLY_PROG; BPF_NOEXIST */
const arrayType = 2
const socketStorageType = 24
const readOnlyForPrograms = 1 << 7
const onlyIfAbsent = 1

/** A map. Keys and values are raw bytes of exactly the sizes that it was made with. */
export interface BpfMap extends Disposable {
  readonly fd: number
  readonly definition: MapDefinition
  /** The value, in a buffer of its own, or null. For a socket map: the socket's cookie. The key of a socket storage is a descriptor. */
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

/** Makes a map. SystemError EPERM without CAP_BPF (and CAP_NET_ADMIN), EINVAL if the kernel does not know the type. */
export function createMap(definition: MapDefinition, name: string): BpfMap {
  using types = definition.type === socketStorageType ? loadTypes(definition) : null
  const fd = bpf(
    command.mapCreate,
    attributes(64, (bytes) => {
      bytes.writeUInt32LE(definition.type, 0)
      bytes.writeUInt32LE(definition.keySize, 4)
      bytes.writeUInt32LE(definition.valueSize, 8)
      bytes.writeUInt32LE(definition.maxEntries, 12)
      bytes.writeUInt32LE(definition.flags, 16)
      writeName(bytes, name, 28)
      if (types === null) return
      bytes.writeUInt32LE(types.fd, 48)
      bytes.writeUInt32LE(1, 52)
      bytes.writeUInt32LE(2, 56)
    }),
    `map create ${name}`,
  )
  return mapOf(fd, definition)
}

/**
 * What the keys and values of a socket storage are, without which the kernel does not make one: 1, a number of 32 bits, and 2, an array of
 * these. See Documentation/bpf/btf.rst.
 */
function loadTypes({ keySize, valueSize }: MapDefinition): Descriptor {
  const strings = Buffer.from('\0u32\0')
  const integer = { name: 1, kind: 1 << 24, size: keySize, encoding: 32 }
  const array = { name: 0, kind: 3 << 24, size: 0, element: 1, index: 1, count: valueSize / keySize }
  const types = new Uint8Array(Uint32Array.from([...Object.values(integer), ...Object.values(array)]).buffer)
  const header = Buffer.alloc(24)
  header.writeUInt16LE(0xeb9f, 0)
  header.writeUInt8(1, 2)
  header.writeUInt32LE(header.length, 4)
  header.writeUInt32LE(types.length, 12)
  header.writeUInt32LE(types.length, 16)
  header.writeUInt32LE(strings.length, 20)
  const all = Buffer.concat([header, types, strings])
  const request = attributes(32, (bytes) => {
    bytes.writeBigUInt64LE(address(all), 0)
    bytes.writeUInt32LE(all.length, 16)
  })
  return new Descriptor(bpf(command.typesLoad, request, 'types load'))
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

/** Opens a map that was pinned, whatever it was made of. */
export function openMap(path: string): BpfMap {
  const map = getPinned(path)
  // `struct bpf_map_info`
  const info = objectInfo(map)
  const [type = 0, keySize = 0, valueSize = 0, maxEntries = 0, flags = 0] = [0, 8, 12, 16, 20].map((at) =>
    info.readUInt32LE(at),
  )
  return mapOf(map.release(), { type, keySize, valueSize, maxEntries, flags })
}

function mapOf(fd: number, definition: MapDefinition): BpfMap {
  const { keySize, valueSize, maxEntries } = definition
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
    definition,
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
      // The kernel begins anew when the key that it should go on from has gone meanwhile.
      const found = new Map<string, Buffer>()
      const next = Buffer.alloc(keySize)
      const step = attributes(32, (bytes) => {
        request.copy(bytes, 0, 0, 4)
        bytes.writeBigUInt64LE(address(next), 16)
      })
      for (let steps = 0; steps < 2 * maxEntries && attempt('bpf', command.mapNextKey, step, 32) >= 0; steps++) {
        const last = Buffer.from(next)
        found.set(last.toString('latin1'), last)
        step.writeBigUInt64LE(address(last), 8)
      }
      return [...found.values()]
    },
    [Symbol.dispose]: () => {
      descriptor[Symbol.dispose]()
      // The number may soon be another map's: from here on every call fails with EBADF.
      request.writeInt32LE(-1, 0)
      removal.writeInt32LE(-1, 0)
    },
  }
}

/** ENOENT, EEXIST */
const noEntry = 2
const exists = 17
