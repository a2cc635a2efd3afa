/** What an app's folder says about how it is run: the guess of which `cutover init` makes a `cutover.yaml`. */
import { goMains, guessGo, guessJar, guessMaven, guessProgram, javaFiles } from './guess-compiled.ts'
import { guessDockerfile, guessProcfile } from './guess-declared.ts'
import { type Folder, type Guessed, guessed, type Start } from './guess-folder.ts'
import { guessNode, nextConfigs, nodeMains, packageOf } from './guess-node.ts'
import { guessDjango, guessPython, pythonMains } from './guess-python.ts'
import { guessRuby, rubyMains } from './guess-ruby.ts'
import { guessCaddy, guessPhp } from './guess-web.ts'

/** Folders of an app whose names say something. */
export const foldersToList: readonly string[] = ['bin', 'cmd', 'config', 'public', 'src']

/** The files that a guess is made from. Those that other files name come on top: {@link namedFiles}. */
export const filesToRead: readonly string[] = [
  ...['package.json', 'Procfile', 'Gemfile', 'config.ru', 'requirements.txt', 'uv.lock', 'pyproject.toml', 'manage.py'],
  ...[
    'Caddyfile',
    'Dockerfile',
    '.env',
    ...nextConfigs,
    ...nodeMains,
    ...pythonMains,
    ...rubyMains,
    ...goMains,
    ...javaFiles,
  ],
]

/** More source files below the folder: those that what was read names as what is started, and those that lie in it. At most 20. */
export function namedFiles(folder: Folder): readonly string[] {
  const from = packageOf(folder)
  const { Procfile = '', Dockerfile = '' } = folder.texts
  const said = [from?.main, from?.scripts.start, Procfile, ...(Dockerfile.match(/^[ \t]*(CMD|ENTRYPOINT).*$/gim) ?? [])]
  const words = said.flatMap((text) => (text ?? '').split(/[\s"',[\]]+/)).map((word) => word.replace(/^\.\//, ''))
  const inside = words.filter(
    (word) => /^\w[\w./-]*\.(js|mjs|cjs|ts|py|rb)$|^bin\/www$/.test(word) && !/\.\./.test(word),
  )
  const own = [...folder.names].filter((name) => /^[\w-]+\.(go|py|rb)$/.test(name))
  const commands = [...folder.names].filter((name) => /^cmd\/[\w-]+$/.test(name)).map((name) => `${name}/main.go`)
  return [...new Set([...inside, ...own, ...commands])].filter((name) => folder.texts[name] === undefined).slice(0, 20)
}

export interface Guess {
  readonly app: Guessed<string>
  readonly start: Start
  readonly envFile: Guessed<string> | null
  readonly shared: Guessed<readonly string[]> | null
}

/** How the app in the folder is run; null if nothing in it says so. */
export function guess(folder: Folder): Guess | null {
  const start = startOf(folder)
  if (start === null) return null
  const lasting = [...folder.names]
    .filter((name) => /^(uploads|storage|config\/master\.key|[^/]+\.(sqlite3?|db))$/.test(name))
    .sort()
  return {
    app: appName(folder),
    start,
    envFile: folder.names.has('.env') ? guessed('.env', '.env') : null,
    shared: lasting.length > 0 ? guessed(lasting, 'it is there, and has to outlive releases') : null,
  }
}

/** A package.json comes late: many apps of other languages have one for what browsers get. */
const kinds: readonly ((folder: Folder) => Start | null)[] = [
  guessDjango,
  guessRuby,
  guessPhp,
  guessGo,
  guessMaven,
  guessPython,
  guessNode,
  guessJar,
  guessCaddy,
  guessProgram,
]

function startOf(folder: Folder): Start | null {
  const kind = kinds.reduce<Start | null>((found, guessKind) => found ?? guessKind(folder), null)
  return guessProcfile(folder, kind) ?? kind ?? guessDockerfile(folder)
}

function appName(folder: Folder): Guessed<string> {
  const fromPackage = fitting(packageOf(folder)?.name?.replace(/^@[^/]*\//, '') ?? '')
  if (fromPackage) return guessed(fromPackage, 'package.json, name')
  const fromFolder = fitting(folder.name)
  return fromFolder ? guessed(fromFolder, "the folder's name") : guessed('app', "the folder's name does not fit")
}

/** The name in the letters that an app's name may have; empty if nothing is left. */
const fitting = (name: string): string =>
  name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 40)
    .replace(/-+$/, '')
