/**
 * The places of one port: a fixed set of listening sockets in one SO_REUSEPORT group, made once and kept by a holder. A release borrows a place
 * and gives it back. None is ever closed by itself: the kernel would move the last one into the gap, and every number would mean another release.
 */
import { anyAddress } from '../../core/address.ts'
import { failure } from '../../core/errors.ts'
import { type Descriptor, SystemError } from '../../linux/ffi.ts'
import { listenersOn } from '../../linux/sock-diag.ts'
import {
  attachClassicProgram,
  bind,
  boundEndpoint,
  closeOneWaiting,
  type Endpoint,
  isListening,
  listen,
  setBlocking,
  setReusable,
  setV6Only,
  sharePort,
  shutDown,
  socketCookie,
  tcpSocket,
} from '../../linux/sockets.ts'
import { findHeld, type Held, hold } from '../holders.ts'
import { type DeclaredPort, type Listener, maxAlive } from '../steering.ts'
import type { Entry } from './book.ts'
import { choice, numberOf } from './program.ts'

/** Connections that may wait at one place; `net.core.somaxconn` may allow fewer. */
const backlog = 4096

/** One more than there can be releases: the last is nobody's. */
const size = maxAlive + 1
const spare = maxAlive

/** Who gets new connections. */
export interface Direction {
  /** The place that everybody gets who is no probe. */
  readonly at: number
  /** The place that begins to listen before the others, where none does yet. */
  readonly first: number
  /** What says so to the kernel (program.ts). */
  readonly program: Uint8Array
}

/** New connections go to where the app has them, and every lodger can be probed. */
export const directionOf = ({ at, first, lodgers }: Pick<Entry, 'at' | 'first' | 'lodgers'>): Direction => ({
  at,
  first,
  program: choice(
    at,
    lodgers.map(({ place }) => place),
    first,
  ),
})

export interface Group extends Disposable {
  /** Where all its places are bound. */
  readonly endpoint: Endpoint
  /** From one instruction of the kernel to the next. Nothing is done where no place listens. */
  direct(direction: Direction): void
  /** The socket of the place, as a program wants to find it that begins with it: it waits. */
  lend(place: number): Descriptor
  socket(place: number): Descriptor
  /** Who stands there, and how many wait; of those places only that listen. */
  listeners(): Listener[]
  /** Clients are refused from here on, those that wait as well. The port stays taken. */
  shut(): void
  /** No place listens. */
  isShut(): boolean
  /** All places listen, each under its number. Where none did, clients get to the first until the active one listens; else as `mend` does it. */
  open(direction: Direction): void
  /**
   * Places may have ended: a program did it by itself (shutdown), or it had been the last to have one. They listen again, each under its number.
   * Who waits at the active place goes on waiting, unless that has ended, or several of which one came before it.
   */
  mend(direction: Direction): void
  /** Closes what waits at a place that nobody has; says how many that were. */
  closeWaiting(place: number): number
  /** Ends the sockets and their holder: the port is free. */
  destroy(): void
}

/**
 * Takes the port.
 * @throws CutoverError `failed` if it cannot be had
 */
export function makeGroup(port: DeclaredPort, holders: string): Group {
  const made: Descriptor[] = []
  try {
    const [first, ...others] = Array.from({ length: size }, () => {
      const socket = placeAt(made[0] === undefined ? null : boundEndpoint(made[0]), port)
      made.push(socket)
      return socket
    })
    return groupOf(hold([first as Descriptor, ...others], holders))
  } catch (error) {
    for (const socket of made) socket[Symbol.dispose]()
    throw error
  }
}

/** The places as a holder keeps them, or null if none does. */
export function findGroup(holders: string): Group | null {
  const [found, ...others] = findHeld(holders)
  // Of a daemon that was killed while it made another holder.
  for (const other of others) other[Symbol.dispose]()
  return found === undefined ? null : groupOf(found)
}

/**
 * Makes the places anew around those that programs still have, where their holder has gone.
 * @param kept by place
 */
export function remakeGroup(port: DeclaredPort, kept: ReadonlyMap<number, Descriptor>, holders: string): Group {
  const [some] = kept.values()
  const endpoint = some === undefined ? null : boundEndpoint(some)
  const [first, ...others] = Array.from({ length: size }, (_, place) => kept.get(place) ?? placeAt(endpoint, port))
  return groupOf(hold([first as Descriptor, ...others], holders))
}

function groupOf(held: Held): Group {
  const { sockets } = held
  const endpoint = boundEndpoint(sockets[0])
  const socketAt = (place: number): Descriptor => {
    const socket = sockets[place]
    if (socket === undefined) throw new Error(`there is no place ${place}`)
    return socket
  }
  const byNumber = ({ first }: Direction): Descriptor[] =>
    sockets.toSorted((a, b) => numberOf(sockets.indexOf(a), first) - numberOf(sockets.indexOf(b), first))
  /** In their order: it is their number. As soon as one listens clients come. */
  const listenFrom = (number: number, direction: Direction) => {
    const ordered = byNumber(direction)
    for (const socket of ordered.slice(number)) {
      setReusable(socket, true)
      listen(socket, backlog)
      if (socket === ordered[0]) attachClassicProgram(socket, direction.program)
    }
  }
  const end = (those: readonly Descriptor[]) => {
    for (const socket of those) {
      if (isListening(socket)) shutDown(socket)
      setReusable(socket, false)
    }
  }
  const isShut = () => !sockets.some(isListening)
  const beginAnew = (direction: Direction) => {
    end(sockets)
    listenFrom(0, direction)
  }
  const mend = (direction: Direction) => {
    const ended = sockets.filter((socket) => !isListening(socket))
    const [socket] = ended
    // Nobody listens where an app was stopped.
    if (socket === undefined || isShut()) return
    if (ended.length === 1) {
      // The kernel has moved the last one into the gap, and adds this one as the last. Ended itself, that one makes room for this one again.
      setReusable(socket, true)
      listen(socket, backlog)
      shutDown(socketAt(spare))
      listen(socketAt(spare), backlog)
      return
    }
    // In which order they ended nobody knows, and so not who was moved where; but only gaps were filled, and from the end.
    const next = numberOf(direction.at, direction.first) + 1
    const after = byNumber(direction).slice(next)
    if (ended.every((one) => after.includes(one))) {
      end(after)
      listenFrom(next, direction)
    } else beginAnew(direction)
  }
  return {
    endpoint,
    direct: ({ program }) => {
      // To one that does not listen the kernel would give a group of its own, in which it could not listen any more.
      const one = sockets.find(isListening)
      if (one !== undefined) attachClassicProgram(one, program)
    },
    lend: (place) => {
      const socket = socketAt(place)
      setBlocking(socket, true)
      // Whoever had it before may have let fewer wait.
      if (isListening(socket)) listen(socket, backlog)
      return socket
    },
    socket: socketAt,
    listeners: () => {
      const found = new Map(listenersOn([endpoint.port]).map((one) => [one.cookie, one]))
      return sockets.flatMap((socket, place) => {
        const one = found.get(socketCookie(socket))
        if (one === undefined) return []
        return [
          {
            port: endpoint.port,
            family: one.family,
            address: one.localAddress,
            v6only: one.v6only,
            device: one.interface,
            uid: one.uid,
            place,
            cookie: one.cookie,
            worker: null,
            waiting: one.receiveQueue,
          },
        ]
      })
    },
    shut: () => end(sockets),
    isShut,
    open: (direction) => (isShut() ? beginAnew : mend)(direction),
    mend,
    closeWaiting: (place) => {
      const socket = socketAt(place)
      if (!isListening(socket)) return 0
      setBlocking(socket, false)
      let closed = 0
      while (closed < backlog && closeOneWaiting(socket)) closed++
      return closed
    },
    destroy: () => held.letGo(),
    [Symbol.dispose]: () => held[Symbol.dispose](),
  }
}

/** A socket of the group, which does not listen yet. Without an address of the config it takes what comes for any, over both families if it can. */
function placeAt(like: Endpoint | null, { port, address }: DeclaredPort): Descriptor {
  if (like !== null) return boundAt(like)
  if (address !== null && address !== anyAddress) {
    if (address.includes(':'))
      throw failure(
        `Port ${port} is to be reached at ${address}: share can only ask a release over IPv4 whether it is healthy. Write address: any, or an IPv4 address.`,
      )
    return boundAt({ family: 'ipv4', address, port })
  }
  try {
    return boundAt({ family: 'ipv6', address: anyAddress, port })
  } catch (error) {
    if (!(error instanceof SystemError && (error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL')))
      throw error
    return boundAt({ family: 'ipv4', address: '0.0.0.0', port })
  }
}

function boundAt(endpoint: Endpoint): Descriptor {
  const socket = tcpSocket(endpoint.family)
  try {
    // What a program that is given a listening socket finds with systemd.
    setBlocking(socket, true)
    sharePort(socket)
    if (endpoint.family === 'ipv6') setV6Only(socket, false)
    bind(socket, endpoint)
    return socket
  } catch (error) {
    socket[Symbol.dispose]()
    if (error instanceof SystemError && error.call === 'bind') throw cannotBind(endpoint, error)
    throw error
  }
}

function cannotBind({ address, port }: Endpoint, cause: SystemError): Error {
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another program, or another user, has it',
    EACCES: 'an ordinary user may not have a port that low (sysctl net.ipv4.ip_unprivileged_port_start)',
  }
  const words = why[cause.code]
  return words === undefined
    ? cause
    : failure(`Port ${port} of ${address} cannot be had: ${words}. Nothing was switched.`, { cause })
}
