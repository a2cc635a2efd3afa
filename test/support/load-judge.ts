/** What an answer, or a line of one that does not end, means for the request: the same for every protocol. */
import { performance } from 'node:perf_hooks'
import type { Request } from './load-fates.ts'
import type { Answer } from './load-http.ts'
import type { Ending } from './load-wire.ts'

/** Judges an answer and tells the request's fate; the answer if it is right. */
export function settle<A extends Pick<Answer, 'status' | 'body'>>(request: Request, got: A | Ending): A | null {
  if ('fate' in got) {
    request.lost(got.fate, got.detail)
    return null
  }
  const release = releaseOf(got.body)
  if (got.status !== 200 || release === null) {
    request.lost('wrong', `status ${got.status}, ${JSON.stringify(got.body.slice(0, 60))}`)
    return null
  }
  request.answered(release)
  return got
}

/** Tells the loss. */
export function lost(request: Request, { fate, detail }: Ending): false {
  request.lost(fate, detail)
  return false
}

/** What comes next of an answer that need not end. */
export type Piece = { readonly text: string; readonly last: boolean } | Ending

/** Numbered lines, each in its turn and all of one release, until nobody wants more. True if there was no fault in them. */
export async function hearLines(
  { everyMs, running }: { readonly everyMs: number; running(): boolean },
  request: Request,
  next: () => Promise<Piece>,
): Promise<boolean> {
  let release: string | null = null
  let text = ''
  for (let count = 1; release === null || running(); ) {
    const asked = performance.now()
    const piece = await next()
    if ('fate' in piece) return lost(request, piece)
    text += piece.text
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') continue
      const from = releaseOf(line.replace(/^data: /, ''), String(count))
      if (from === null || (release !== null && from !== release))
        return lost(request, { fate: 'wrong', detail: `line ${count} of ${release}: ${JSON.stringify(line)}` })
      release = from
      request.message(release, Math.max(0, performance.now() - asked - everyMs))
      count++
    }
    if (piece.last) return lost(request, { fate: 'cut', detail: `the stream ended after line ${count - 1}` })
  }
  request.answered(release)
  return true
}

/** Bodies begin with the release that answers, `v4`; messages are `v4 17`. */
export function releaseOf(text: string, count?: string): string | null {
  const [release = '', counted] = text.trimEnd().split(' ')
  if (!/^v\d+$/.test(release)) return null
  return count === undefined || counted === count ? release : null
}
