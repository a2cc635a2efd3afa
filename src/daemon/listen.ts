/** The daemon's socket: there whole, with its owner and mode, or not at all. */
import { once } from 'node:events'
import { chmodSync, chownSync, renameSync, rmSync, statSync } from 'node:fs'
import type { Server } from 'node:http'
import { dirname, join } from 'node:path'
import { acceptNobodyNew } from '../linux/peer.ts'
import { unixAddress } from '../linux/unix-address.ts'

/**
 * Makes the server listen at the path, in place of whatever is there: only the holder of the daemon's lock may call this. The socket is
 * made under another name and renamed when owner (the daemon), group (that of the folder) and mode (0660) are right.
 */
export async function listenAt(server: Server, path: string): Promise<void> {
  const folder = dirname(path)
  const aside = join(folder, '.socket')
  rmSync(aside, { force: true })
  using unix = unixAddress(aside)
  server.listen(unix.address)
  await once(server, 'listening')
  chownSync(aside, process.geteuid?.() ?? 0, statSync(folder).gid)
  chmodSync(aside, 0o660)
  renameSync(aside, path)
}

/**
 * Takes the socket away at once, so that the lock may be given up when this returns: whoever comes later is refused. The promise resolves when
 * everybody who was there is answered, or cut short after `patienceMs`.
 */
export function stopListening(server: Server, path: string, patienceMs: number): Promise<void> {
  rmSync(path, { force: true })
  const { promise, resolve } = Promise.withResolvers<void>()
  const giveUp = setTimeout(() => {
    server.close(() => resolve())
    server.closeAllConnections()
  }, patienceMs)
  // Closed at once it would cut off those who are connected and not accepted yet. Shut down it takes nobody new, and accept(2) fails after the
  // last of them.
  server.once('error', () => {
    clearTimeout(giveUp)
    server.close(() => resolve())
  })
  acceptNobodyNew(server)
  return promise
}
