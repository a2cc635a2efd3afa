/** How an app is started where a file says so in so many words: the Procfile, or the CMD of a Dockerfile. */
import { commandText, fromShell } from './guess-command.ts'
import { type Folder, guessed, type Start } from './guess-folder.ts'
import { packageOf, programPath } from './guess-node.ts'
import { portOf } from './guess-port.ts'

/**
 * The Procfile's `web`.
 * @param other - what the folder is without it: a Procfile does not say what has to be built
 */
export function guessProcfile(folder: Folder, other: Start | null): Start | null {
  const line = processOf(folder, 'web')
  if (line === null) return null
  if (other !== null && /^(npm|yarn|pnpm|bun)( run)? start$/.test(line)) return other
  const { words, env } = fromShell(whereBuilt(line, folder, other))
  const said = guessed(line, 'Procfile, web')
  const all = { ...other?.env?.value, ...env }
  const release = processOf(folder, 'release')
  return {
    what: other?.what ?? 'an app with a Procfile',
    run: guessed(words, said.from),
    port: portOf(folder, {
      command: said,
      files: line.split(/\s+/).map((word) => word.replace(/^\.\//, '')),
      usual: other?.port.value ?? 8080,
      of: other?.what ?? 'a server',
    }),
    build: other?.build ?? null,
    health: other?.health ?? null,
    env: Object.keys(all).length > 0 ? guessed(all, said.from) : null,
    ignore: other?.ignore ?? null,
    hints:
      release === null
        ? (other?.hints ?? [])
        : [
            `release: ${commandText(fromShell(whereBuilt(release, folder, other)).words)}   # Procfile, release: once per release`,
          ],
  }
}

/** The Dockerfile's last CMD, as it would be outside of the image: paths below its WORKDIR are paths below this folder. */
export function guessDockerfile(folder: Folder): Start | null {
  const text = (folder.texts.Dockerfile ?? '').replace(/\\\n/g, ' ')
  const entry = lastOf(text, 'ENTRYPOINT')
  const command = lastOf(text, 'CMD')
  const inside = lastOf(text, 'WORKDIR')?.replace(/\/*$/, '/') ?? '/'
  const words = [...wordsOf(entry), ...wordsOf(command)].map((word) =>
    inside !== '/' && word.startsWith(inside) ? `./${word.slice(inside.length)}` : word,
  )
  if (words.length === 0) return null
  const said = guessed(commandText(words), `Dockerfile, ${entry === null ? 'CMD' : 'ENTRYPOINT and CMD'}`)
  return {
    what: 'an app with a Dockerfile',
    run: guessed(words, said.from),
    port: portOf(folder, {
      command: said,
      files: words.map((word) => word.replace(/^\.\//, '')),
      usual: 8080,
      of: 'a server',
    }),
    hints: ['What the Dockerfile installs or compiles has to be on this machine, or be made by build.'],
  }
}

const processOf = ({ texts }: Folder, type: string): string | null =>
  new RegExp(`^${type}:[ \\t]*([^\\r\\n]+)`, 'm').exec(texts.Procfile ?? '')?.[1]?.trim() || null

/** A platform has in PATH what `build` makes; here it is named by its path. */
function whereBuilt(line: string, folder: Folder, other: Start | null): string {
  if (other?.build?.value.some((word) => word.includes('.venv')))
    return line
      .replace(/^python3?\s/, '.venv/bin/python ')
      .replace(/^(gunicorn|uvicorn|hypercorn|daphne)\s/, '.venv/bin/python -m $1 ')
  const node = packageOf(folder)
  return node === null ? line : line.replace(/^\S+/, (word) => programPath(word, node))
}

const lastOf = (dockerfile: string, instruction: string): string | null =>
  [...dockerfile.matchAll(new RegExp(`^[ \\t]*${instruction}[ \\t]+(\\S.*)$`, 'gim'))].at(-1)?.[1]?.trim() ?? null

/** Both forms of an instruction: a list in JSON, and a line for a shell. */
function wordsOf(instruction: string | null): readonly string[] {
  if (instruction === null) return []
  try {
    const list: unknown = JSON.parse(instruction)
    if (Array.isArray(list) && list.every((word) => typeof word === 'string')) return list
  } catch {
    // A line for a shell is no JSON.
  }
  return fromShell(instruction).words
}
