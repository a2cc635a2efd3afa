/** HTTP over the daemon's unix socket, in the shape of `fetch`. */
import { type IncomingMessage, request } from 'node:http'
import { Readable } from 'node:stream'
import { goneStatus, versionHeader } from '../daemon/headers.ts'
import { unixAddress } from '../linux/unix-address.ts'

/** How one asks: hono's client asks so, with a url whose host means nothing here. */
export interface Ask {
  readonly method?: string
  readonly headers?: Headers
  readonly body?: string
  readonly signal?: AbortSignal
}

/**
 * Asks over the socket. The body of the answer is read as it comes, and no faster.
 * @throws what connect(2) says: ENOENT, ECONNREFUSED, EACCES; ECONNRESET if the daemon ends before it answers; Gone if it did so in good order.
 */
export async function askOver(socket: string, url: string, { method = 'GET', headers, body, signal }: Ask) {
  using unix = unixAddress(socket)
  const { pathname, search } = new URL(url)
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  request({
    socketPath: unix.address,
    path: pathname + search,
    method,
    // One connection a request: a command asks once or twice, and nothing may keep it from ending.
    agent: false,
    headers: Object.fromEntries(headers ?? []),
    ...(signal && { signal }),
  })
    .once('response', resolve)
    .once('error', reject)
    .end(body)
  const answer = await promise
  if (answer.statusCode === goneStatus) throw new Gone('the daemon is gone')
  const { [versionHeader]: version } = answer.headers
  return new Response(Readable.toWeb(answer) as ReadableStream<Uint8Array>, {
    status: answer.statusCode ?? 500,
    headers: typeof version === 'string' ? { [versionHeader]: version } : {},
  })
}

/** The daemon that answered had just let go of everything. Nothing was done. */
class Gone extends Error {}

/** True if the error means that no daemon works there. */
export const isNobodyThere = (error: unknown): boolean =>
  error instanceof Gone || ['ENOENT', 'ECONNREFUSED'].includes(codeOf(error))

/** The errno's name of a failed system call, or an empty string. */
export const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '')
