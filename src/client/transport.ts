/**
 * HTTP/1.1 over the daemon's unix socket, as much of it as a daemon speaks. By itself, because whoever types `cutover rollback` waits for what
 * is loaded: `node:http`, and `Response` as well, take as long as Node's own start.
 */
import { connect } from 'node:net'
import { goneStatus, versionHeader } from '../daemon/headers.ts'
import { unixAddress } from '../linux/unix-address.ts'
import { type Bytes, bodyOf, bytesOf, headOf } from './http.ts'

export interface Request {
  readonly method: 'GET' | 'POST'
  /** The path, with its query. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  /** JSON */
  readonly body?: string
}

/** `T`: what the document in it is, by the daemon's word. */
export interface Answer<T = unknown> {
  readonly ok: boolean
  /** Which version the daemon says it is. */
  readonly version: string | null
  /** Read as it comes, and no faster. Whoever stops reading ends the connection. */
  readonly body: Bytes
  json(): Promise<T>
}

/**
 * Asks over the socket, with a connection of its own: a command asks once or twice, and nothing may keep it from ending.
 * @throws what connect(2) says: ENOENT, ECONNREFUSED, EACCES; ECONNRESET if the daemon ends before it answers; Gone if it did so in good order.
 */
export async function askOver(path: string, request: Request): Promise<Answer> {
  using unix = unixAddress(path)
  const socket = connect(unix.address)
  try {
    socket.write(textOf(request))
    const bytes = bytesOf(socket)
    const { status, headers } = await headOf(bytes)
    if (status === goneStatus) throw new Gone('the daemon is gone')
    const body = bodyOf(bytes, headers)
    return {
      ok: status >= 200 && status < 300,
      version: headers.get(versionHeader) ?? null,
      body,
      json: async () => JSON.parse(await textIn(body)),
    }
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function textOf({ method, target, headers, body = '' }: Request): string {
  const all = { host: 'cutover', connection: 'close', ...headers, ...(body && described(body)) }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return [`${method} ${target} HTTP/1.1`, ...lines, '', body].join('\r\n')
}

const described = (body: string) => ({
  'content-type': 'application/json',
  'content-length': String(Buffer.byteLength(body)),
})

async function textIn(body: Bytes): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}

/** The daemon that answered had just let go of everything. Nothing was done. */
class Gone extends Error {}

/** True if the error means that no daemon works there. */
export const isNobodyThere = (error: unknown): boolean =>
  error instanceof Gone || ['ENOENT', 'ECONNREFUSED'].includes(codeOf(error))

/** The errno's name of a failed system call, or an empty string. */
export const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '')
