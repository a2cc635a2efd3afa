/** Work that goes on after an operation has ended: draining, retiring, pruning, handing on. */
import type { AppName } from '../core/words.ts'
import type { Node } from './node.ts'

/**
 * One piece of work of a name at a time; whoever asks again waits for the same. Its failure is logged: nobody waits for it, or whoever does
 * looks at what is true. The name is a verb and `APP.vN`, or `APP.` where it is about the whole app.
 */
export function inBackground(node: Node, key: string, work: () => Promise<void>): Promise<void> {
  const begun = node.background.get(key)
  if (begun !== undefined) return begun
  const promise = work()
    .catch((error: unknown) => {
      if (!node.closing.aborted) node.log.error({ err: error, work: key }, 'work in the background failed')
    })
    .finally(() => node.background.delete(key))
  node.background.set(key, promise)
  return promise
}

/** What goes on at this moment by these verbs, for the app or for all. */
export const underWay = (node: Node, verbs: readonly string[], app?: AppName): Promise<void>[] =>
  [...node.background]
    .filter(([key]) => verbs.some((verb) => key.startsWith(app === undefined ? `${verb} ` : `${verb} ${app}.`)))
    .map(([, work]) => work)
