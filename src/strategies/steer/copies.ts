/** Sockets that an app has open, by a copy that lasts for one step only: a copy keeps the queue of a release that dies. */
import { type Descriptor, SystemError } from '../../linux/ffi.ts'
import { copyDescriptor } from '../../linux/process.ts'
import { type TcpSocket, whereOpen } from '../../linux/sock-diag.ts'
import { socketCookie } from '../../linux/sockets.ts'

/** One copy of each that somebody still has open. Each is closed when the next is asked for. */
export function* copiesOf(
  sockets: readonly TcpSocket[],
): Generator<{ readonly socket: TcpSocket; readonly copy: Descriptor }> {
  const wanted = new Map(sockets.map((socket) => [socket.cookie, socket]))
  for (const { pid, fd } of whereOpen(new Set(sockets.map(({ inode }) => inode)))) {
    using copy = copyDescriptor(pid, fd)
    const socket = copy === null ? undefined : wanted.get(cookieOf(copy))
    if (copy === null || socket === undefined) continue
    wanted.delete(socket.cookie)
    yield { socket, copy }
    if (wanted.size === 0) return
  }
}

/** 0n, which no socket has, where the descriptor became another meanwhile. */
function cookieOf(copy: Descriptor): bigint {
  try {
    return socketCookie(copy)
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENOTSOCK') return 0n
    throw error
  }
}
