/** What a folder holds, as far as a guess looks at it, and what a guess says: plain values. */

export interface Folder {
  /** Its own name, without the path to it. */
  readonly name: string
  /** What is in it, and in a few folders below it: `package.json`, `public/index.php`. */
  readonly names: ReadonlySet<string>
  /** The texts of the files that were read, by the same names. */
  readonly texts: Readonly<Record<string, string>>
  /** Which of its own names are compiled programs; looked for only where nothing else says how the app is started. */
  readonly programs?: readonly string[]
}

/** A value, and in a few words what it was guessed from. */
export interface Guessed<Value> {
  readonly value: Value
  readonly from: string
}

/** How an app of one kind is started. */
export interface Start {
  /** What it is: "a Node server". */
  readonly what: string
  readonly run: Guessed<readonly string[]>
  readonly port: Guessed<number>
  readonly build?: Guessed<readonly string[]> | null
  /** The path that is asked. */
  readonly health?: Guessed<string> | null
  readonly env?: Guessed<Readonly<Record<string, string>>> | null
  /** What must not go into a release. */
  readonly ignore?: Guessed<readonly string[]> | null
  /** Lines for the file's comments: keys that such an app often wants, or what one should know of it. */
  readonly hints?: readonly string[]
}

export const guessed = <Value>(value: Value, from: string): Guessed<Value> => ({ value, from })

/** The first of the names that the folder has, or null. */
export const firstOf = ({ names }: Folder, candidates: readonly string[]): string | null =>
  candidates.find((name) => names.has(name)) ?? null

/** What `read` makes of the first of the files of which it makes something, with the file's name. */
export function firstIn<Value>(
  { texts }: Folder,
  files: readonly string[],
  read: (text: string) => Value | null,
): { readonly file: string; readonly value: Value } | null {
  for (const file of files) {
    const text = texts[file]
    const value = text === undefined ? null : read(text)
    if (value !== null) return { file, value }
  }
  return null
}
