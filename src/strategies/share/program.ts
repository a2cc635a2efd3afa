/**
 * The program of a port's SO_REUSEPORT group, in classic BPF: an ordinary user may attach it. It returns the number of the socket that gets a new
 * connection. Whoever comes from a probe's address gets the place that the address names, and everybody else the active one. See the kernel's
 * networking/filter, and socket(7) under SO_ATTACH_REUSEPORT_CBPF.
 */

/** From this address the daemon asks whoever has the place, dark or not. Nobody outside this machine can come from it (RFC 1122, 3.2.1.3). */
export const probeAddress = (place: number): string => `127.83.0.${place + 1}`

const probeNumber = (place: number): number => 0x7f53_0001 + place

/** `SKF_NET_OFF`: what follows counts from the head of the IP packet. */
const packet = 0xfff0_0000
/** Of IPv4: version and length of the head, and the source address. */
const [version, source] = [packet, packet + 12]

const loadByte = 0x30
const loadWord = 0x20
const and = 0x54
const jumpIfEqual = 0x15
const answer = 0x06

/** The number of a place's socket: they begin to listen in a row, but for one that did so before the others. */
export const numberOf = (place: number, first: number): number =>
  place === first ? 0 : place < first ? place + 1 : place

/** Places that may be probed, and the one that everybody else gets. `first` began to listen before the others. */
export function choice(active: number, probed: readonly number[], first = 0): Buffer {
  const toProbed = probed.flatMap((place) => [
    instruction(jumpIfEqual, probeNumber(place), 0, 1),
    instruction(answer, numberOf(place, first)),
  ])
  return Buffer.concat([
    instruction(loadByte, version),
    instruction(and, 0xf0),
    // An IPv6 packet has something else there.
    instruction(jumpIfEqual, 0x40, 0, toProbed.length + 1),
    instruction(loadWord, source),
    ...toProbed,
    instruction(answer, numberOf(active, first)),
  ])
}

/** `struct sock_filter`. Jumps count the instructions that are passed over. */
function instruction(code: number, value: number, ifTrue = 0, ifFalse = 0): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16LE(code, 0)
  bytes.writeUInt8(ifTrue, 2)
  bytes.writeUInt8(ifFalse, 3)
  bytes.writeUInt32LE(value, 4)
  return bytes
}
