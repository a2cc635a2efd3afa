/** Asked before a daemon of another version is made to leave: whether this one could go on from where that one is. */
import { requireKnownDatabase } from '../store/database.ts'
import { openHome } from '../store/home.ts'
import { requireKnownPins } from '../strategies/steer/kernel.ts'
import { foundPins } from './node.ts'

/**
 * Looks at the state of that home and at what is pinned in the kernel for it, and changes nothing.
 * @throws CutoverError `failed` if this version does not know one of them
 */
export function requireTakeable(path: string): void {
  const home = openHome(path)
  requireKnownDatabase(home.database)
  const pins = foundPins(home)
  if (pins !== null) requireKnownPins(pins)
}
