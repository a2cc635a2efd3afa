/** Just enough of HTTP/1.1 (RFC 9112) to tell a whole, right answer from everything else. */

export interface Head {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The connection may carry another request afterwards. */
  readonly stays: boolean
  /** Where the body begins. */
  readonly length: number
}

export interface Answer extends Head {
  readonly body: string
}

/**
 * - `partial`: more has to come.
 * - `malformed`: it is not an answer, or its end cannot be known: a body that ends with the connection looks the same when it is cut.
 */
export type Parsed<T> =
  | { readonly is: 'whole'; readonly value: T; readonly used: number }
  | { readonly is: 'partial' }
  | { readonly is: 'malformed'; readonly why: string }

const partial = { is: 'partial' } as const
const malformed = (why: string) => ({ is: 'malformed', why }) as const

/** The status line and the header fields. */
export function parseHead(bytes: Buffer): Parsed<Head> {
  if (!'HTTP/1.'.startsWith(bytes.toString('latin1', 0, 7)) && bytes.toString('latin1', 0, 7) !== 'HTTP/1.')
    return malformed(`not HTTP: ${excerpt(bytes)}`)
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return partial
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const status = /^HTTP\/1\.([01]) (\d{3})( |$)/.exec(first)
  if (!status) return malformed(`no status line: ${first}`)
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon < 1) return malformed(`no header field: ${line}`)
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  const connection = (headers.connection ?? '').toLowerCase()
  const stays = status[1] === '1' ? !/\bclose\b/.test(connection) : /\bkeep-alive\b/.test(connection)
  return { is: 'whole', value: { status: Number(status[2]), headers, stays, length: end + 4 }, used: end + 4 }
}

/** A whole answer to a GET, from its first byte. */
export function parseAnswer(bytes: Buffer): Parsed<Answer> {
  const head = parseHead(bytes)
  if (head.is !== 'whole') return head
  const { headers, length: start } = head.value
  if (headers['transfer-encoding']?.toLowerCase() === 'chunked') {
    const body = parseChunks(bytes.subarray(start))
    if (body.is !== 'whole') return body
    if (!body.value.last) return partial
    return { is: 'whole', value: { ...head.value, body: body.value.text }, used: start + body.used }
  }
  const length = headers['content-length']
  if (length === undefined || !/^\d+$/.test(length)) return malformed('an answer without a length')
  const end = start + Number(length)
  if (bytes.length < end) return partial
  return { is: 'whole', value: { ...head.value, body: bytes.toString('utf8', start, end) }, used: end }
}

/** All whole chunks of a chunked body (RFC 9112, section 7.1) that are there; `used` is what they take. Trailers are not expected. */
export function parseChunks(bytes: Buffer): Parsed<{ readonly text: string; readonly last: boolean }> {
  let text = ''
  let used = 0
  while (true) {
    const line = bytes.indexOf('\r\n', used)
    if (line === -1) break
    const size = /^[0-9a-f]+$/i.exec(bytes.toString('latin1', used, line))
    if (!size) return malformed(`no chunk size: ${excerpt(bytes.subarray(used))}`)
    const start = line + 2
    const end = start + Number.parseInt(size[0], 16)
    if (bytes.length < end + 2) break
    if (bytes.toString('latin1', end, end + 2) !== '\r\n') return malformed('a chunk that does not end where it said')
    used = end + 2
    if (end === start) return { is: 'whole', value: { text, last: true }, used }
    text += bytes.toString('utf8', start, end)
  }
  return { is: 'whole', value: { text, last: false }, used }
}

/** The first bytes of something unexpected, fit for a line of text. */
export const excerpt = (bytes: Buffer): string => JSON.stringify(bytes.toString('latin1', 0, 60))
