/** Whether the memory that is free will do for one more release. */

/** Bytes. */
export interface MemoryRoom {
  /** What the release that is active takes: the best guess at what the next one will. */
  readonly needed: number
  readonly free: number
}

/**
 * A guess may be wrong: a release that has run for weeks takes more than a fresh one, and what is free changes. So it is `short`, and nothing is
 * started, only where not even half is there; `tight`, and said, where it is less than the whole and a tenth.
 */
export function roomInMemory({ needed, free }: MemoryRoom): 'enough' | 'tight' | 'short' {
  if (free < needed / 2) return 'short'
  return free < needed + needed / 10 ? 'tight' : 'enough'
}
