/** JSON documents, one a line, as they come. */
import type { Answer } from './transport.ts'

/**
 * The documents of an answer's body. What they are is the daemon's word: the type is not checked.
 * @throws whatever reading does if the daemon ends in the middle; a last line without an end is such a middle.
 */
export async function* documentsOf<T>({ body }: Answer): AsyncGenerator<T> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) yield JSON.parse(line) as T
  }
}
