/** Streams of JSON documents, one a line, that are made no faster than the client reads them. */
import { ReadableStream } from 'node:stream/web'

const encoder = new TextEncoder()

/**
 * A response of one line a document. The documents are asked for only as the client takes them. If they end with an error, the last
 * line is what `lastWords` makes of it; null says nothing.
 */
export const ndjson = (documents: AsyncIterable<unknown>, lastWords: (error: unknown) => object | null): Response =>
  new Response(ReadableStream.from(lines(documents, lastWords)), {
    headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' },
  })

async function* lines(
  documents: AsyncIterable<unknown>,
  lastWords: (error: unknown) => object | null,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const document of documents) yield line(document)
  } catch (error) {
    const words = lastWords(error)
    if (words !== null) yield line(words)
  }
}

const line = (document: unknown): Uint8Array => encoder.encode(`${JSON.stringify(document)}\n`)
