/** The kernel's own list of TCP sockets, of this network namespace. See sock_diag(7); cgroup ids from Linux 5.9. */
import { readdirSync, readlinkSync } from 'node:fs'
import { addressText } from '../core/address.ts'
import type { Pid } from '../core/words.ts'
import { Descriptor, SystemError, syscall } from './ffi.ts'

/** States of a TCP socket by their numbers (net/tcp_states.h). */
const tcpStates = {
  established: 1,
  'syn-sent': 2,
  'syn-received': 3,
  'fin-wait-1': 4,
  'fin-wait-2': 5,
  'time-wait': 6,
  closed: 7,
  'close-wait': 8,
  'last-ack': 9,
  listen: 10,
  closing: 11,
  /** Bound, and neither listening nor connected; told from Linux 6.8 on. */
  bound: 13,
} as const

export type TcpState = keyof typeof tcpStates | 'unknown'

export interface TcpSocket {
  readonly family: 'ipv4' | 'ipv6'
  readonly state: TcpState
  /** As `127.0.0.1`, `::1`, `::ffff:127.0.0.1`. */
  readonly localAddress: string
  readonly localPort: number
  readonly remoteAddress: string
  readonly remotePort: number
  /** True where an IPv6 socket takes no IPv4. */
  readonly v6only: boolean
  /** The interface it is bound to by SO_BINDTODEVICE; 0: any. */
  readonly interface: number
  readonly uid: number
  /** 0: no process has it (a connection that nobody has accepted yet). */
  readonly inode: number
  readonly cookie: bigint
  /** The cgroup in which the socket (or the listener that it came from) was made; null where the kernel keeps none, as in `time-wait`. */
  readonly cgroupId: bigint | null
  /** Of a listener: connections that wait to be accepted. Else: bytes that wait to be read. */
  readonly receiveQueue: number
  /** Of a listener: the backlog, which is how many may wait. Else: bytes not acknowledged yet. */
  readonly sendQueue: number
  /** Of a listener: connections and SYNs that it dropped since it was made (SK_MEMINFO_DROPS). */
  readonly drops: number
}

/**
 * The sockets in these states, of that local port if one is given. SystemError if the kernel refuses. But for listeners the kernel looks at
 * every connection of the machine, those in `time-wait` included: milliseconds, where thousands of clients came in the last minute.
 */
export function dumpTcp(wanted: { states: readonly Exclude<TcpState, 'unknown'>[]; port?: number }): TcpSocket[] {
  const states = wanted.states.reduce((mask, state) => mask | (1 << tcpStates[state]), 0)
  return dump(states, wanted.port ?? 0)
}

/** Who listens on these ports, at any address. Of many ports all listeners are read once: an app may open thousands. */
export function listenersOn(ports: readonly number[]): TcpSocket[] {
  if (ports.length <= fewPorts) return ports.flatMap((port) => dumpTcp({ states: ['listen'], port }))
  const wanted = new Set(ports)
  return dumpTcp({ states: ['listen'] }).filter(({ localPort }) => wanted.has(localPort))
}

const fewPorts = 32

/** The processes that have the socket open, as far as they may be looked at. Reads all of /proc: for error messages. */
export const holdersOf = (inode: number): Pid[] => [...new Set([...whereOpen(new Set([inode]))].map(({ pid }) => pid))]

/** Every descriptor by which a process has one of these sockets open, as far as it may be looked at. Reads all of /proc. */
export function* whereOpen(inodes: ReadonlySet<number>): Generator<{ readonly pid: Pid; readonly fd: number }> {
  const links = new Set([...inodes].map((inode) => `socket:[${inode}]`))
  for (const pid of list('/proc').filter((entry) => /^\d+$/.test(entry)))
    for (const fd of list(`/proc/${pid}/fd`))
      if (links.has(linkOf(`/proc/${pid}/fd/${fd}`))) yield { pid: Number(pid), fd: Number(fd) }
}

/** Numbers of netlink(7), sock_diag(7), linux/inet_diag.h and linux/sock_diag.h. */
const netlink = { family: 16, raw: 3, cloexec: 0o2000000, sockDiag: 4, tcp: 18, request: 0x301, error: 2, done: 3 }
const attribute = { memory: 7, v6only: 11, cgroup: 21, dropsAt: 8 * 4 }
const headerSize = 16
const messageSize = 72
/** The kernel fills at most 32 KB a read of a dump; what does not fit comes with the next. */
const bufferSize = 65_536

/** `struct inet_diag_req`, as ss(8) asks for both families: the later `inet_diag_req_v2` takes one, and the kernel would walk its table twice. */
function dump(states: number, port: number): TcpSocket[] {
  using socket = new Descriptor(syscall('socket', netlink.family, netlink.raw | netlink.cloexec, netlink.sockDiag))
  const request = Buffer.alloc(headerSize + 60)
  request.writeUInt32LE(request.length, 0)
  request.writeUInt16LE(netlink.tcp, 4)
  request.writeUInt16LE(netlink.request, 6)
  request.writeUInt8(1 << (attribute.memory - 1), headerSize + 3)
  request.writeUInt16BE(port, headerSize + 4)
  request.writeUInt32LE(states, headerSize + 52)
  syscall('sendto', socket.fd, request, request.length, 0, null, 0)

  const found: TcpSocket[] = []
  const buffer = Buffer.alloc(bufferSize)
  for (;;) {
    // The kernel writes a dump's answer before the call returns: this never waits.
    const length = syscall('recvfrom', socket.fd, buffer, buffer.length, 0, null, null)
    for (let at = 0; at < length; ) {
      const size = buffer.readUInt32LE(at)
      const type = buffer.readUInt16LE(at + 4)
      const status = type === netlink.done || type === netlink.error ? buffer.readInt32LE(at + headerSize) : 0
      if (status < 0) throw new SystemError('sock_diag', -status)
      if (type === netlink.done) return found
      found.push(socketOf(buffer.subarray(at + headerSize, at + size)))
      at += aligned(size)
    }
  }
}

/** `struct inet_diag_msg` and the attributes behind it. */
function socketOf(message: Buffer): TcpSocket {
  const family = message.readUInt8(0) === 2 ? 'ipv4' : 'ipv6'
  const number = message.readUInt8(1)
  const attributes = attributesOf(message.subarray(messageSize))
  return {
    family,
    state:
      (Object.keys(tcpStates) as (keyof typeof tcpStates)[]).find((state) => tcpStates[state] === number) ?? 'unknown',
    localPort: message.readUInt16BE(4),
    remotePort: message.readUInt16BE(6),
    localAddress: addressOf(family, message.subarray(8, 24)),
    remoteAddress: addressOf(family, message.subarray(24, 40)),
    interface: message.readUInt32LE(40),
    cookie: message.readBigUInt64LE(44),
    receiveQueue: message.readUInt32LE(56),
    sendQueue: message.readUInt32LE(60),
    uid: message.readUInt32LE(64),
    inode: message.readUInt32LE(68),
    v6only: attributes.get(attribute.v6only)?.readUInt8(0) === 1,
    cgroupId: attributes.get(attribute.cgroup)?.readBigUInt64LE(0) ?? null,
    drops: attributes.get(attribute.memory)?.readUInt32LE(attribute.dropsAt) ?? 0,
  }
}

function attributesOf(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>()
  for (let at = 0; at + 4 <= bytes.length; ) {
    const size = bytes.readUInt16LE(at)
    if (size < 4) break
    found.set(bytes.readUInt16LE(at + 2), bytes.subarray(at + 4, at + size))
    at += aligned(size)
  }
  return found
}

const aligned = (size: number): number => (size + 3) & ~3

function addressOf(family: 'ipv4' | 'ipv6', bytes: Buffer): string {
  if (family === 'ipv4') return [...bytes.subarray(0, 4)].join('.')
  const text = addressText(bytes)
  return text.includes(':') ? text : `::ffff:${text}`
}

const list = (directory: string): string[] => orElse([], () => readdirSync(directory))

const linkOf = (path: string): string => orElse('', () => readlinkSync(path))

/** Processes and descriptors go while one looks, and some may not be looked at. */
function orElse<T>(otherwise: T, act: () => T): T {
  try {
    return act()
  } catch {
    return otherwise
  }
}
