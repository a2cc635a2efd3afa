/**
 * The former layouts whose pins are moved to the present one (move.ts): what has changed of the maps since. A layout that is not listed here
 * is refused. A version that moves to a new layout lists the one it had before.
 */
import type { MapName } from './kernel.ts'

/** What an entry of the former map is in the present one, key and value; null: nothing. */
export type Entry = (key: Buffer, value: Buffer) => readonly [key: Buffer, value: Buffer] | null

/**
 * Of each map that differs in shape or meaning how its entries are carried over; null: it is made anew and nothing is. All others are kept:
 * programs of both layouts work on the same ones. `selves` must be: a link goes on with the storage that it was attached with, whichever
 * program is put into it.
 */
export type Changed = Readonly<Partial<Record<MapName, Entry | null>>>

const asItIs: Entry = (key, value) => [key, value]

export const formerLayouts: ReadonlyMap<string, Changed> = new Map([
  [
    '5',
    {
      seats: (key, value) => [key, Buffer.concat([value, allAlikeUnknown])],
      // By the socket's cookie then; now the socket itself has it.
      binders: asItIs,
      rounds: null,
    },
  ],
])

/** The rest of `struct seats`: nobody looked whether the listeners are all bound alike. */
const allAlikeUnknown = Buffer.from([1, ...Array(19).fill(0)])
