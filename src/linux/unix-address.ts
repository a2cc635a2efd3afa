/** Addresses of unix sockets whose path may be longer than the 107 bytes that a socket address takes. See unix(7). */
import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'

const longest = 107

/** An address that `bind` and `connect` take, valid until it is disposed of. */
export interface UnixAddress extends Disposable {
  readonly address: string
}

/**
 * The path itself if it is short enough, else the same socket through a descriptor of its folder: `/proc/self/fd/9/cutover.sock`.
 * @throws ENOENT or EACCES of open(2) if the folder of a long path cannot be opened; RangeError if even the socket's own name is too long.
 */
export function unixAddress(path: string): UnixAddress {
  if (Buffer.byteLength(path) <= longest) return { address: path, [Symbol.dispose]: () => {} }
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  const address = `/proc/self/fd/${folder}/${basename(path)}`
  const close = () => closeSync(folder)
  if (Buffer.byteLength(address) > longest) {
    close()
    throw new RangeError(`the name of the socket is too long: ${basename(path)}`)
  }
  return { address, [Symbol.dispose]: close }
}
