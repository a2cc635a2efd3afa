/** Unix sockets, beyond what Node offers: who is at the other end, what the kernel noted when it connected, which the peer cannot forge. See unix(7). */
import type { Server, Socket } from 'node:net'
import type { Pid } from '../core/words.ts'
import { attempt, SystemError, syscall } from './ffi.ts'

export interface Peer {
  readonly pid: Pid
  readonly uid: number
  readonly gid: number
  /** Its supplementary groups (SO_PEERGROUPS, Linux 4.13). */
  readonly groups: readonly number[]
}

const SOL_SOCKET = 1
const SO_PEERCRED = 17
const SO_PEERGROUPS = 59
const ERANGE = 34

/**
 * The peer of a connected unix socket.
 * @throws SystemError if it is not one; Error if Node has closed it already.
 */
export function peerOf(socket: Socket): Peer {
  const fd = descriptorOf(socket)
  const credentials = new DataView(new ArrayBuffer(12))
  const length = new Uint8Array(Uint32Array.of(credentials.byteLength).buffer)
  syscall('getsockopt', fd, SOL_SOCKET, SO_PEERCRED, new Uint8Array(credentials.buffer), length)
  return {
    pid: credentials.getInt32(0, true),
    uid: credentials.getUint32(4, true),
    gid: credentials.getUint32(8, true),
    groups: groupsOf(fd),
  }
}

/**
 * Whoever connects from here on is refused (ECONNREFUSED); those who did before are still accepted, and then accept(2) fails (EINVAL), as unix(7)
 * sockets do after shutdown(2).
 */
export const acceptNobodyNew = (server: Server): void => void syscall('shutdown', descriptorOf(server), SHUT_RDWR)

const SHUT_RDWR = 2

/** Asks with ever more room: the kernel answers ERANGE, and how many bytes it needs, if there is too little. */
function groupsOf(fd: number): readonly number[] {
  const length = new Uint32Array([4 * 64])
  for (;;) {
    const groups = new Uint32Array(length[0] ? length[0] / 4 : 1)
    const result = attempt(
      'getsockopt',
      fd,
      SOL_SOCKET,
      SO_PEERGROUPS,
      new Uint8Array(groups.buffer),
      new Uint8Array(length.buffer),
    )
    if (result >= 0) return [...groups.subarray(0, (length[0] ?? 0) / 4)]
    if (result !== -ERANGE) throw new SystemError('getsockopt', -result, 'SO_PEERGROUPS')
  }
}

/** Node tells nobody the descriptor of a socket; its handle knows. */
function descriptorOf(socket: Socket | Server): number {
  const { _handle: handle } = socket as (Socket | Server) & { readonly _handle?: { readonly fd: number } | null }
  if (!handle || handle.fd < 0) throw new Error('the socket is closed')
  return handle.fd
}
