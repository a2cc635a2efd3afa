/**
 * Reads a BPF object file as clang writes it and makes programs of it. It understands just what bpf/ uses: sections named after program
 * kinds, maps described in the section `maps` (bpf/maps.h), constants in `.rodata`, relocations of the type R_BPF_64_64. See elf(5) and the
 * kernel's Documentation/bpf/llvm_reloc.rst.
 */
import { readFileSync } from 'node:fs'
import { isProgramKind, type KernelObject, loadProgram, type ProgramKind } from './bpf.ts'
import { type BpfMap, createConstants, type MapDefinition } from './bpf-map.ts'

export interface BpfObject {
  readonly maps: Readonly<Record<string, MapDefinition>>
  readonly programs: readonly ProgramImage[]
  /** The bytes of `.rodata`, or null if there are none. */
  readonly constants: Buffer | null
}

export interface ProgramImage {
  readonly name: string
  readonly kind: ProgramKind
  readonly instructions: Buffer
  /** Which instruction (by its offset in bytes) loads the address of what. */
  readonly references: readonly Reference[]
}

type Reference =
  | { readonly to: 'map'; readonly at: number; readonly map: string }
  | { readonly to: 'constant'; readonly at: number; readonly offset: number }

/** By name. */
export type LoadedPrograms = Readonly<Record<string, { readonly kind: ProgramKind; readonly program: KernelObject }>>

/** Reads the file. An Error says what is in it that this loader does not know: such a file is a defect of the build. */
export function readObject(file: URL | string): BpfObject {
  const bytes = readFileSync(file)
  const sections = sectionsOf(bytes)
  const symbols = symbolsOf(sections)
  const mapsAt = sections.findIndex((section) => section.name === 'maps')
  const constantsAt = sections.findIndex((section) => section.name === '.rodata')
  const mapBytes = sections[mapsAt]?.content ?? Buffer.alloc(0)

  const maps: Record<string, MapDefinition> = {}
  for (const symbol of symbols) {
    if (symbol.section !== mapsAt || !symbol.name) continue
    const [type = 0, keySize = 0, valueSize = 0, maxEntries = 0, flags = 0] = [0, 4, 8, 12, 16].map((at) =>
      mapBytes.readUInt32LE(symbol.value + at),
    )
    maps[symbol.name] = { type, keySize, valueSize, maxEntries, flags }
  }

  const referencesOf = (section: number): Reference[] =>
    relocationsOf(sections, section).map(({ at, symbol: index, type }) => {
      const symbol = symbols[index]
      if (type !== directAddress || !symbol)
        throw new Error(`${file}: relocation type ${type}; is a function not inlined?`)
      if (symbol.section === mapsAt) return { to: 'map', at, map: symbol.name }
      if (symbol.section === constantsAt) return { to: 'constant', at, offset: symbol.value }
      throw new Error(`${file}: ${symbol.name || 'a symbol'} is neither a map nor a constant`)
    })

  const programs = sections.flatMap(({ name: kind, content }, index): ProgramImage[] => {
    if (!isProgramKind(kind)) return []
    const functions = symbols.filter((symbol) => symbol.section === index && symbol.isFunction)
    const [only] = functions
    if (!only || functions.length > 1) throw new Error(`${file}: ${kind} must hold one function`)
    return [{ name: only.name, kind, instructions: content, references: referencesOf(index) }]
  })
  return { maps, programs, constants: sections[constantsAt]?.content ?? null }
}

/**
 * Loads the object's programs into the kernel with these maps. `constants` takes the place of what `.rodata` holds.
 * @throws SystemError if the verifier refuses; whatever was loaded before is freed.
 */
export function loadPrograms(
  object: BpfObject,
  maps: Readonly<Record<string, BpfMap>>,
  constants: Uint8Array | null = object.constants,
): LoadedPrograms {
  using owned = new DisposableStack()
  using frozen = constants && constants.length > 0 ? createConstants(constants) : null
  const loaded: Record<string, { kind: ProgramKind; program: KernelObject }> = {}
  for (const image of object.programs) {
    const instructions = Buffer.from(image.instructions)
    for (const reference of image.references) {
      if (reference.to === 'map') {
        const map = maps[reference.map]
        if (!map) throw new Error(`no map ${reference.map} for ${image.name}`)
        point(instructions, reference.at, pseudoMap, map.fd, 0)
      } else {
        if (!frozen) throw new Error(`no constants for ${image.name}`)
        point(instructions, reference.at, pseudoMapValue, frozen.fd, reference.offset)
      }
    }
    loaded[image.name] = { kind: image.kind, program: owned.use(loadProgram(image.kind, instructions, image.name)) }
  }
  owned.move()
  return loaded
}

/** BPF_PSEUDO_MAP_FD and BPF_PSEUDO_MAP_VALUE: the source register of a 16-byte load says what its immediate means. */
const pseudoMap = 1
const pseudoMapValue = 2

function point(instructions: Buffer, at: number, meaning: number, fd: number, offset: number): void {
  const registers = instructions.readUInt8(at + 1)
  // The compiler leaves what is to be added to the symbol's own address where the descriptor goes.
  const added = instructions.readInt32LE(at + 4)
  instructions.writeUInt8((registers & 0x0f) | (meaning << 4), at + 1)
  instructions.writeInt32LE(fd, at + 4)
  if (meaning === pseudoMapValue) instructions.writeInt32LE(offset + added, at + 12)
}

/** R_BPF_64_64, SHT_REL, SHT_SYMTAB, STT_FUNC */
const directAddress = 1
const relocationSection = 9
const symbolSection = 2
const functionSymbol = 2

interface Section {
  readonly name: string
  readonly type: number
  readonly link: number
  readonly info: number
  readonly content: Buffer
}

interface ElfSymbol {
  readonly name: string
  readonly section: number
  readonly value: number
  readonly isFunction: boolean
}

function sectionsOf(bytes: Buffer): Section[] {
  if (bytes.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new Error('not a 64-bit little-endian ELF file')
  const start = Number(bytes.readBigUInt64LE(40))
  const size = bytes.readUInt16LE(58)
  const count = bytes.readUInt16LE(60)
  const headers = Array.from({ length: count }, (_, index) =>
    bytes.subarray(start + index * size, start + (index + 1) * size),
  )
  const raw = headers.map((header) => {
    const offset = Number(header.readBigUInt64LE(24))
    return {
      nameAt: header.readUInt32LE(0),
      type: header.readUInt32LE(4),
      link: header.readUInt32LE(40),
      info: header.readUInt32LE(44),
      content: bytes.subarray(offset, offset + Number(header.readBigUInt64LE(32))),
    }
  })
  const names = raw[bytes.readUInt16LE(62)]?.content ?? Buffer.alloc(0)
  return raw.map(({ nameAt, ...section }) => ({ ...section, name: textAt(names, nameAt) }))
}

function symbolsOf(sections: readonly Section[]): ElfSymbol[] {
  const table = sections.find((section) => section.type === symbolSection)
  if (!table) return []
  const names = sections[table.link]?.content ?? Buffer.alloc(0)
  return Array.from({ length: table.content.length / 24 }, (_, index) => {
    const entry = table.content.subarray(index * 24, index * 24 + 24)
    return {
      name: textAt(names, entry.readUInt32LE(0)),
      isFunction: (entry.readUInt8(4) & 15) === functionSymbol,
      section: entry.readUInt16LE(6),
      value: Number(entry.readBigUInt64LE(8)),
    }
  })
}

const relocationsOf = (sections: readonly Section[], target: number) =>
  sections
    .filter((section) => section.type === relocationSection && section.info === target)
    .flatMap(({ content }) =>
      Array.from({ length: content.length / 16 }, (_, index) => ({
        at: Number(content.readBigUInt64LE(index * 16)),
        type: content.readUInt32LE(index * 16 + 8),
        symbol: content.readUInt32LE(index * 16 + 12),
      })),
    )

const textAt = (bytes: Buffer, at: number): string => bytes.toString('latin1', at, bytes.indexOf(0, at))
