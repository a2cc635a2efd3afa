/** A connection that reaches exactly one release, dark or not: nobody outside can make one. */
import { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { isLinkLocal } from '../../core/address.ts'
import { SystemError } from '../../linux/ffi.ts'
import { beginConnect, bind, bindToInterface, boundPort, interfaceName, tcpSocket } from '../../linux/sockets.ts'
import type { Listener, ReleaseRef } from '../steering.ts'
import type { Maps } from './kernel.ts'
import { connectionKey, probesCounter, releaseKey, u32, u64 } from './layout.ts'

/**
 * Connects to the listener as a client on this machine would; the release sees an ordinary connection. The kernel is told beforehand whom
 * the connection is for, and forgets it when the socket closes. Whether it was refused, the socket's first event tells.
 */
export type Probe = (ref: ReleaseRef, listener: Listener) => Socket

/** For one daemon at a time: it alone counts. Those of an earlier one have gone with it. */
export function openProbe(maps: Maps): Probe {
  let open = 0
  expectProbes(maps, open)
  return (ref, listener) =>
    connectTo(maps, ref, listener, (more) => {
      open += more
      expectProbes(maps, open)
    })
}

/** Tells the programs how many connections there may be that only one release may get. */
export const expectProbes = (maps: Maps, count: number): void =>
  maps.counters.set(u32(probesCounter), u64(BigInt(count)))

function connectTo(maps: Maps, ref: ReleaseRef, listener: Listener, count: (more: number) => void): Socket {
  const address = reachable(listener)
  const family = address.includes(':') ? 'ipv6' : 'ipv4'
  const raw = tcpSocket(family)
  try {
    // A link-local address is one of each interface: without it the kernel knows neither whence nor whereto.
    if (isLinkLocal(address)) bindToInterface(raw, listener.device)
    bind(raw, { family, address, port: 0 })
    const key = connectionKey({ address, port: boundPort(raw) }, { address, port: listener.port })
    const forget = () => {
      maps.who.delete(key)
      count(-1)
    }
    count(1)
    try {
      maps.who.set(key, u32(releaseKey(ref), 0))
      beginConnect(raw, { family, address, port: listener.port })
    } catch (error) {
      forget()
      throw error
    }
    const socket = new Socket({ fd: raw.release(), readable: true, writable: true })
    socket.once('close', () => unlessClosed(forget))
    return socket
  } catch (error) {
    raw[Symbol.dispose]()
    throw error
  }
}

/** The entry outlives a steering that was closed before its probes; the map drops what is oldest by itself. */
function unlessClosed(forget: () => void): void {
  try {
    forget()
  } catch (error) {
    if (!(error instanceof SystemError && error.code === 'EBADF')) throw error
  }
}

/** An address of this machine at which the listener takes connections. */
function reachable({ family, address, v6only, device }: Listener): string {
  const plain = family === 'ipv6' ? address.replace(/^::ffff:(?=\d+\.)/, '') : address
  if (plain !== '0.0.0.0' && plain !== '::') return plain
  const four = plain === '0.0.0.0' || !v6only
  return (device !== 0 && addressOf(device, four ? 'IPv4' : 'IPv6')) || (four ? '127.0.0.1' : '::1')
}

/** A socket that is bound to an interface is reached at the interface's own addresses only, from this machine too. */
function addressOf(device: number, family: 'IPv4' | 'IPv6'): string | undefined {
  const own = networkInterfaces()[interfaceName(device)]?.filter((one) => one.family === family) ?? []
  return (own.find(({ address }) => !isLinkLocal(address)) ?? own[0])?.address
}
