/** Reading an answer of HTTP/1.1 (RFC 9112) that a daemon's `node:http` has written: with a length, or in chunks. */

export type Bytes = AsyncIterable<Uint8Array>

/** Bytes, taken in the pieces that the reader wants. Each throws ECONNRESET if they end before that. */
export interface ByteReader {
  /** Up to the end of the line, which is taken away. */
  line(): Promise<string>
  /** As many as are there, at least one and at most so many. */
  some(atMost: number): Promise<Uint8Array>
  /** Nobody reads on. */
  end(): void
}

export interface Head {
  readonly status: number
  /** By their names in small letters. */
  readonly headers: ReadonlyMap<string, string>
}

export function bytesOf(source: AsyncIterable<Buffer> & { destroy(): unknown }): ByteReader {
  const pieces = source[Symbol.asyncIterator]()
  let rest: Buffer = Buffer.alloc(0)
  const more = async () => {
    const piece = await pieces.next()
    if (piece.done) throw Object.assign(new Error('the connection ended in the middle'), { code: 'ECONNRESET' })
    rest = rest.length === 0 ? piece.value : Buffer.concat([rest, piece.value])
  }
  const take = (length: number) => {
    const taken = rest.subarray(0, length)
    rest = rest.subarray(taken.length)
    return taken
  }
  return {
    async line() {
      while (!rest.includes('\r\n')) await more()
      return take(rest.indexOf('\r\n') + 2)
        .toString('latin1')
        .slice(0, -2)
    },
    async some(atMost) {
      if (rest.length === 0) await more()
      return take(atMost)
    },
    end: () => void source.destroy(),
  }
}

export async function headOf(bytes: ByteReader): Promise<Head> {
  const status = Number((await bytes.line()).split(' ')[1])
  const headers = new Map<string, string>()
  for (let line = await bytes.line(); line !== ''; line = await bytes.line()) {
    const colon = line.indexOf(':')
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  return { status, headers }
}

/** The body that comes after the head. The connection ends with it, or with whoever stops reading it. */
export async function* bodyOf(bytes: ByteReader, headers: Head['headers']): AsyncGenerator<Uint8Array> {
  try {
    if (headers.get('transfer-encoding') === 'chunked') yield* chunksOf(bytes)
    else yield* piecesOf(bytes, Number(headers.get('content-length') ?? 0))
  } finally {
    bytes.end()
  }
}

async function* chunksOf(bytes: ByteReader): AsyncGenerator<Uint8Array> {
  for (;;) {
    const length = Number.parseInt(await bytes.line(), 16)
    yield* piecesOf(bytes, length)
    await bytes.line()
    if (length === 0) return
  }
}

async function* piecesOf(bytes: ByteReader, length: number): AsyncGenerator<Uint8Array> {
  for (let left = length; left > 0; ) {
    const piece = await bytes.some(left)
    left -= piece.length
    yield piece
  }
}
