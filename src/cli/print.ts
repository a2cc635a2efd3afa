/** The two streams: people's output and JSON go to stdout, progress and errors to stderr. */
import { styleText } from 'node:util'
import { schema } from '../core/documents.ts'
import { CutoverError, exitCodes } from '../core/errors.ts'
import { inertJson, printable, printableLines } from './text.ts'

type Style = Parameters<typeof styleText>[0]
type Stream = typeof process.stdout | typeof process.stderr

/** Text with a style where the stream is a terminal and nobody said NO_COLOR. */
export const styled = (style: Style, text: string, stream: Stream): string => styleText(style, text, { stream })

/** How many characters a line of it takes; without end where it is no terminal, or one that does not know. */
export const widthOf = (stream: Stream): number =>
  stream.isTTY && stream.columns > 0 ? stream.columns : Number.POSITIVE_INFINITY

/** A line for people, already safe to print. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** One JSON document on a line of stdout. */
export function sayJson(document: unknown): void {
  process.stdout.write(`${inertJson(document)}\n`)
}

/** A line beside the output: a hint, a warning, a note. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Resolves when stdout takes more: whoever prints without end waits for it between lines. */
export async function whenPrinted(): Promise<void> {
  if (!process.stdout.writableNeedDrain) return
  await new Promise<void>((resolve) => process.stdout.once('drain', () => resolve()))
}

/** A reader that has seen enough (`| head`) ends the command without a word. */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit()
      throw error
    })
  }
}

/** Ends this process as soon as all is printed: to wait until it ends by itself takes a tenth of the time of a command. */
export function leaveWhenPrinted(): void {
  if (process.stdout.writableLength === 0 && process.stderr.writableLength === 0) process.exit()
}

/** Says what went wrong, to people on stderr and, with `json`, as the one document on stdout. Returns the exit code of the contract. */
export function explain(error: unknown, json: boolean): number {
  const told = error instanceof CutoverError ? error : defect(error)
  const exitCode = told instanceof Interrupted ? interruptedCode : exitCodes[told.kind]
  if (!wasShown.has(told)) {
    note(printableLines(told.message))
    for (const line of told.details) note(`  ${printable(line)}`)
  }
  if (json) sayJson({ schema, error: { message: told.message, details: told.details, exit_code: exitCode } })
  return exitCode
}

/** 128 + SIGINT */
const interruptedCode = 130

/** What failed because of Ctrl-C, as it wanted. */
export class Interrupted extends CutoverError {}

/** Errors that people have seen already, in the place where they belong. */
const wasShown = new WeakSet<CutoverError>()

/** Shows the error in its place instead of at the end. */
export function shown(error: CutoverError): CutoverError {
  wasShown.add(error)
  return error
}

const defect = (error: unknown): CutoverError =>
  new CutoverError('unknown', `Cutover itself failed: ${error instanceof Error ? (error.stack ?? error) : error}`)
