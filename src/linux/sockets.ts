/**
 * TCP sockets made by hand, where Node's own cannot do it: bound without listening, with options set in between, with an eBPF program, or
 * handed on by number. See socket(7), tcp(7), ipv6(7).
 */
import { fchownSync } from 'node:fs'
import { addressBytes, addressText } from '../core/address.ts'
import { address, attempt, Descriptor, SystemError, syscall } from './ffi.ts'

export type Family = 'ipv4' | 'ipv6'

/** An address of one family in text, as in `127.0.0.1` or `::1`, and a port in host byte order. */
export interface Endpoint {
  readonly family: Family
  readonly address: string
  readonly port: number
}

/** AF_INET, AF_INET6 */
const families = { ipv4: 2, ipv6: 10 } as const
/** SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC */
const streamNonBlocking = 1 | 0o4000 | 0o2000000
const socketLevel = 1
const ipv6Level = 41
const option = {
  reuseAddress: 2,
  reusePort: 15,
  acceptsConnections: 30,
  attachClassicProgram: 51,
  attachProgram: 52,
  cookie: 57,
  bindToInterface: 62,
  netnsCookie: 71,
} as const
const v6onlyOption = 26

/** A TCP socket that does not block and is closed on exec. EMFILE when descriptors are used up. */
export const tcpSocket = (family: Family): Descriptor =>
  new Descriptor(syscall('socket', families[family], streamNonBlocking, 0))

const setNumber = (socket: Descriptor, level: number, name: number, value: number): void => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  syscall('setsockopt', socket.fd, level, name, bytes, bytes.length)
}

/** SO_REUSEADDR and SO_REUSEPORT: others of the same user may hold the port too. */
export function sharePort(socket: Descriptor): void {
  setNumber(socket, socketLevel, option.reuseAddress, 1)
  setNumber(socket, socketLevel, option.reusePort, 1)
}

/**
 * Whether others may listen on the port where this socket, bound to it, does not listen. What is accepted meanwhile inherits it: then it says
 * whether others may listen while such a connection is over but for its last minute. SO_REUSEADDR
 */
export const setReusable = (socket: Descriptor, reusable: boolean): void =>
  setNumber(socket, socketLevel, option.reuseAddress, reusable ? 1 : 0)

export const setV6Only = (socket: Descriptor, only: boolean): void =>
  setNumber(socket, ipv6Level, v6onlyOption, only ? 1 : 0)

/** Only packets that come in over this interface (its index). SO_BINDTOIFINDEX, Linux 5.0. */
export const bindToInterface = (socket: Descriptor, index: number): void =>
  setNumber(socket, socketLevel, option.bindToInterface, index)

/** The name of an interface of this network namespace, as in `eth0`. SystemError ENODEV if there is none. netdevice(7), SIOCGIFNAME */
export function interfaceName(index: number): string {
  using any = tcpSocket('ipv4')
  const request = Buffer.alloc(40)
  request.writeInt32LE(index, 16)
  syscall('ioctl', any.fd, 0x8910, request)
  return request.toString('latin1', 0, request.indexOf(0))
}

/** Makes the program choose among the sockets of this listening socket's SO_REUSEPORT group. Replaces the group's program. */
export const attachGroupProgram = (socket: Descriptor, program: { readonly fd: number }): void =>
  setNumber(socket, socketLevel, option.attachProgram, program.fd)

/** Gives the socket to another user: a SO_REUSEPORT group takes sockets of one user only. */
export const giveTo = (socket: Descriptor, uid: number): void => fchownSync(socket.fd, uid, -1)

/** EADDRINUSE if somebody holds it who does not share, EADDRNOTAVAIL if it is not an address of this machine. */
export function bind(socket: Descriptor, endpoint: Endpoint): void {
  const name = sockaddr(endpoint)
  const result = attempt('bind', socket.fd, name, name.length)
  if (result < 0) throw new SystemError('bind', -result, `${endpoint.address} port ${endpoint.port}`)
}

/** `backlog`: how many connections may wait; net.core.somaxconn is the limit. */
export const listen = (socket: Descriptor, backlog: number): void => void syscall('listen', socket.fd, backlog)

/** Whether it listens. SO_ACCEPTCONN */
export const isListening = (socket: Descriptor): boolean => readNumber(socket, option.acceptsConnections) === 1n

/** Whether calls on the socket wait, for every copy of it, those of other programs too. O_NONBLOCK, fcntl(2) */
export function setBlocking(socket: Descriptor, blocking: boolean): void {
  const flags = syscall('fcntl', socket.fd, getFlags)
  syscall('fcntl', socket.fd, setFlags, blocking ? flags & ~nonBlocking : flags | nonBlocking)
}

const [getFlags, setFlags, nonBlocking] = [3, 4, 0o4000]

/** The address and port that the socket is bound to. getsockname(2) */
export function boundEndpoint(socket: Descriptor): Endpoint {
  const name = nameOf(socket)
  const family = name.readUInt16LE(0) === families.ipv4 ? 'ipv4' : 'ipv6'
  const address = family === 'ipv4' ? [...name.subarray(4, 8)].join('.') : addressText(name.subarray(8, 24))
  return { family, address, port: name.readUInt16BE(2) }
}

/**
 * Makes a program of classic BPF choose among the sockets of this listening socket's SO_REUSEPORT group, by their number: the order in which they
 * began to listen. It takes no privilege. SO_ATTACH_REUSEPORT_CBPF, Linux 4.5.
 * @param instructions each a `struct sock_filter`, 8 bytes
 */
export function attachClassicProgram(socket: Descriptor, instructions: Uint8Array): void {
  const program = Buffer.alloc(16)
  program.writeUInt16LE(instructions.length / 8, 0)
  program.writeBigUInt64LE(address(instructions), 8)
  syscall('setsockopt', socket.fd, socketLevel, option.attachClassicProgram, program, program.length)
}

/** Ends listening, or the connection, for every copy of the socket; what waits in a listener's queue goes to its heir. SHUT_RDWR */
export const shutDown = (socket: Descriptor): void => void syscall('shutdown', socket.fd, 2)

/** Begins to connect. ECONNREFUSED if the refusal is known at once; usually the result comes later. */
export function beginConnect(socket: Descriptor, endpoint: Endpoint): void {
  const name = sockaddr(endpoint)
  const result = attempt('connect', socket.fd, name, name.length)
  if (result >= 0) return
  const error = new SystemError('connect', -result, `${endpoint.address} port ${endpoint.port}`)
  if (error.code !== 'EINPROGRESS') throw error
}

/** Accepts one connection that waits and closes it; false if none waits. */
export function closeOneWaiting(socket: Descriptor): boolean {
  const fd = attempt('accept4', socket.fd, null, null, 0o2000000)
  if (fd >= 0) {
    attempt('close', fd)
    return true
  }
  const error = new SystemError('accept4', -fd)
  if (error.code === 'EAGAIN') return false
  // The client left while it waited.
  if (error.code === 'ECONNABORTED') return true
  throw error
}

/** The port that the socket is bound to. getsockname(2) */
export const boundPort = (socket: Descriptor): number => nameOf(socket).readUInt16BE(2)

function nameOf(socket: Descriptor): Buffer {
  const name = Buffer.alloc(28)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(name.length)
  syscall('getsockname', socket.fd, name, length)
  return name
}

/** The number by which the kernel knows a socket for as long as the machine is up. SO_COOKIE, Linux 4.12. */
export const socketCookie = (socket: Descriptor): bigint => readNumber(socket, option.cookie)

/** The same for the socket's network namespace. SO_NETNS_COOKIE, Linux 5.14. */
export const netnsCookie = (socket: Descriptor): bigint => readNumber(socket, option.netnsCookie)

function readNumber(socket: Descriptor, name: number): bigint {
  const value = Buffer.alloc(8)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(value.length)
  syscall('getsockopt', socket.fd, socketLevel, name, value, length)
  return value.readBigUInt64LE()
}

/** `struct sockaddr_in` or `sockaddr_in6`. */
function sockaddr({ family, address, port }: Endpoint): Buffer {
  const bytes = Buffer.alloc(family === 'ipv4' ? 16 : 28)
  bytes.writeUInt16LE(families[family], 0)
  bytes.writeUInt16BE(port, 2)
  bytes.set(family === 'ipv4' ? addressBytes(address).subarray(12) : addressBytes(address), family === 'ipv4' ? 4 : 8)
  return bytes
}
