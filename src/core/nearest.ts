/** What somebody who misspelled a word probably meant. */
import { closest, distance } from 'fastest-levenshtein'

/** The known word that is nearest to the given one, or null if none is near enough to be what was meant. */
export function nearest(word: string, known: readonly string[]): string | null {
  if (known.length === 0) return null
  const found = closest(word, known)
  return distance(word, found) <= Math.max(2, Math.floor(word.length / 3)) && distance(word, found) < word.length
    ? found
    : null
}
