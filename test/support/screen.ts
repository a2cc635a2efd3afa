/** What somebody sees at a terminal when all that was written there has been obeyed. Knows what Cutover and its spinner use; see console_codes(4). */

export interface Screen {
  /** Without the empty ones below the last. */
  readonly lines: readonly string[]
  readonly isCursorShown: boolean
  /** The texts that had a colour, each with its number: `32 ✓`. */
  readonly coloured: readonly string[]
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
const parts = /\u001b\[([?0-9;]*)([A-Za-z])|./gsu

const noColour = '39'

/** @throws Error for a sequence that it does not know */
export function screenAfter(written: string, columns = 80): Screen {
  const rows: string[][] = [[]]
  const coloured: string[] = []
  let [row, column, isCursorShown] = [0, 0, true]
  let [colour, text] = [noColour, '']

  function obey(command: string, argument: string): void {
    switch (command) {
      case 'A':
        row = Math.max(0, row - Number(argument || 1))
        return
      case 'G':
        column = Number(argument || 1) - 1
        return
      case 'K':
        if (argument === '1') rows[row]?.fill(' ', 0, column + 1)
        else rows[row]?.splice(argument === '2' ? 0 : column)
        return
      case 'h':
      case 'l':
        if (argument === '?25') isCursorShown = command === 'h'
        return
      case 'm':
        if (text !== '') coloured.push(`${colour} ${text}`)
        colour = argument
        text = ''
        return
      default:
        throw new Error(`nobody knows ESC [ ${argument}${command}`)
    }
  }

  function put(character: string): void {
    if (column === columns) toLine(row + 1, 0)
    const line = rows[row] ?? []
    while (line.length < column) line.push(' ')
    line[column++] = character
    if (colour !== noColour) text += character
  }

  function toLine(next: number, at: number): void {
    row = next
    column = at
    rows[row] ??= []
  }

  for (const [part, argument = '', command] of written.matchAll(parts)) {
    if (command !== undefined) obey(command, argument)
    else if (part === '\r') column = 0
    else if (part === '\n') toLine(row + 1, column)
    else put(part)
  }
  const lines = rows.map((line) => line.join('').trimEnd())
  return { lines: lines.slice(0, lines.findLastIndex((line) => line !== '') + 1), isCursorShown, coloured }
}
