/** What a daemon finds that the one before it left, told to people: in `history`, in `events`, and in `status` until somebody does something. */
import type { Actor } from '../core/documents.ts'
import type { AppName, ReleaseNumber } from '../core/words.ts'
import type { Node } from './node.ts'

/** Who does what nobody asked this daemon for. */
export const daemon: Actor = { uid: 0, name: 'the daemon', from: null }

/** An event of it, and the line in `status`. */
export function tellFound(node: Node, app: AppName, release: ReleaseNumber | null, event: string, text: string): void {
  const before = node.found.get(app)
  node.found.set(app, before === undefined ? text : `${before}; ${text}`)
  node.store.events.add(event, text, app, release ?? undefined)
}
