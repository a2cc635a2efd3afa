/** The port that a text speaks of. */
import { type Folder, firstIn, type Guessed, guessed } from './guess-folder.ts'

/** Where a program's own text says it, the surest first. */
const inSources: readonly RegExp[] = [
  /\bPORT\b['"\])]*\s*(?:\|\||\?\?|,|:-?)\s*['"]?(\d{2,5})\b/,
  /\bPORT['"]\s*\)\s*\{\s*['"]?(\d{2,5})\b/,
  /\bPORT['"\])]*\s*(?:or|orelse)\s*['"]?(\d{2,5})\b/,
  /\blisten\(\s*['"]?(\d{2,5})\b/,
  /\b(?:ListenAndServe(?:TLS)?|Run|Start|Listen)\(\s*(?:"tcp"\s*,\s*)?"[\w.]*:(\d{2,5})"/,
  /\(\s*['"](?:[\d.]+|localhost|::)?['"]\s*,\s*(\d{2,5})\s*\)/,
  /\bAddr:\s*"[\w.]*:(\d{2,5})"/,
  /\b(?:port|PORT)\s*(?::=|[:=])\s*['"]?(\d{2,5})\b/,
]

/** Where a command line says it. */
const inCommands: readonly RegExp[] = [
  /(?:^|\s)(?:-p|--port|-l|--listen)[ =]?(\d{2,5})\b/,
  /(?:^|\s)(?:-b|--bind|--listen|-S)[ =]?\S*:(\d{2,5})\b/,
  /\bPORT=(\d{2,5})\b/,
  /\bPORT:-(\d{2,5})\b/,
]

/** The port, and the piece of the text that says it. A line that is a comment does not count. */
export const portInSource = (text: string) => find(inSources, text.replace(/^[ \t]*(\/\/|#|\*).*$/gm, ''))

export const portInCommand = (text: string) => find(inCommands, text)

/** `EXPOSE 8080/tcp` */
export const exposedPort = (dockerfile: string) => find([/^[ \t]*EXPOSE\s+(\d{2,5})\b/im], dockerfile)

/**
 * The port of an app: what its command says, else its `.env`, its own files, its Dockerfile, else what is usual.
 * @param command - how it was started until now
 */
export function portOf(
  folder: Folder,
  {
    command,
    files,
    usual,
    of,
  }: {
    readonly command: Guessed<string> | null
    readonly files: readonly string[]
    readonly usual: number
    readonly of: string
  },
): Guessed<number> {
  const said = command && portInCommand(command.value)
  if (command && said) return guessed(said.port, `${command.from}: ${said.text}`)
  const found =
    firstIn(folder, ['.env'], (text) => find([/^PORT=["']?(\d{2,5})\b/m], text)) ??
    firstIn(folder, files, portInSource) ??
    firstIn(folder, ['Dockerfile'], exposedPort)
  return found ? guessed(found.value.port, `${found.file}: ${found.value.text}`) : guessed(usual, `usual for ${of}`)
}

function find(forms: readonly RegExp[], text: string): { readonly port: number; readonly text: string } | null {
  for (const form of forms) {
    const match = form.exec(text)
    const port = Number(match?.[1])
    if (match && port >= 1 && port <= 65_535) return { port, text: match[0].trim().replace(/\s+/g, ' ').slice(0, 60) }
  }
  return null
}
