/** Chance from a seed: the same seed draws the same. */

export interface Draw {
  /** From 0 up to, and without, `limit`. */
  below(limit: number): number
  chance(probability: number): boolean
  /** One of them; undefined if there is none. */
  of<T>(choices: readonly T[]): T | undefined
  weighted<T extends string>(weights: Readonly<Record<T, number>>): T
}

/** Numbers from xorshift32: Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (14), 2003. */
export function drawFrom(seed: number): Draw {
  let state = seed >>> 0 || 1
  const below = (limit: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return ((state >>> 0) / 2 ** 32) * limit
  }
  return {
    below,
    chance: (probability) => below(1) < probability,
    of: (choices) => choices[Math.floor(below(choices.length))],
    weighted: <T extends string>(weights: Readonly<Record<T, number>>): T => {
      const entries = Object.entries<number>(weights)
      let left = below(entries.reduce((sum, [, weight]) => sum + weight, 0))
      for (const [name, weight] of entries) {
        left -= weight
        if (left < 0) return name as T
      }
      throw new Error('no weights')
    },
  }
}
