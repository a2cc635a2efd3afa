/** How a Node server is started, from its package.json. */
import { commandText, fromShell, inTurn } from './guess-command.ts'
import { type Folder, firstOf, type Guessed, guessed, type Start } from './guess-folder.ts'
import { portOf } from './guess-port.ts'

export interface Package {
  readonly name: string | null
  readonly main: string | null
  readonly packageManager: string
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: ReadonlySet<string>
}

/** What a guess needs of the folder's package.json; null if there is none that can be read. */
export function packageOf({ texts }: Folder): Package | null {
  try {
    const read: unknown = JSON.parse(texts['package.json'] ?? 'null')
    if (!isMap(read)) return null
    const { name, main, packageManager, scripts, dependencies, devDependencies } = read
    return {
      name: typeof name === 'string' ? name : null,
      main: typeof main === 'string' ? main : null,
      packageManager: typeof packageManager === 'string' ? packageManager : '',
      scripts: textsOf(scripts),
      dependencies: new Set([dependencies, devDependencies].flatMap((of) => (isMap(of) ? Object.keys(of) : []))),
    }
  } catch {
    return null
  }
}

export function guessNode(folder: Folder): Start | null {
  const from = packageOf(folder)
  if (from === null) return lonely(folder)
  const framework = standalone(folder, from)
  if (framework) return framework
  const start = startScript(from) ?? mainFile(folder, from)
  if (start === null) return from.dependencies.has('vite') ? vitePreview(folder, from) : null

  const { words, env } = fromShell(start.value)
  const port = portOf(folder, { command: start, files: sourcesOf(words, from), usual: 3000, of: 'Node' })
  const build = built(folder, from, env)
  const isNext = words.some((word) => /(^|\/)next$/.test(word))
  return {
    what: isNext ? 'a Next.js app' : 'a Node server',
    run: guessed(
      words.map((word, index) => (index === 0 ? programPath(word, from) : word)),
      start.from,
    ),
    port,
    build,
    env: Object.keys(env).length > 0 ? guessed(env, start.from) : null,
    hints: [
      ...(isLocal(folder, from, start.value) ? [localHint(port.value)] : []),
      ...(isNext || setsNodeEnv(folder, env) || build ? [] : [productionHint]),
    ],
  }
}

const productionHint =
  'env: {NODE_ENV: production}   # without it many packages, Express among them, show visitors what went wrong inside'

const localHint = (port: number): string =>
  `ports: [{port: ${port}, address: any}]   # instead of port: Fastify listens on this machine only unless it is told a host`

/** Whether it is Fastify and nothing speaks of a host. */
const isLocal = ({ texts }: Folder, { dependencies }: Package, start: string): boolean =>
  dependencies.has('fastify') &&
  !/(^|\s)(-a|--address)\b|FASTIFY_ADDRESS/.test(`${start} ${texts['.env'] ?? ''}`) &&
  !Object.values(texts).some((text) => /\bhost\b/.test(text))

/** A server without a package.json. */
function lonely(folder: Folder): Start | null {
  const main = nodeMains.find((name) => listens(folder, name))
  if (main === undefined) return null
  const port = portOf(folder, { command: null, files: [main], usual: 3000, of: 'Node' })
  return { what: 'a Node server', run: guessed(['node', main], main), port }
}

const listens = ({ texts }: Folder, name: string): boolean => /\b(listen|serve)\(/.test(texts[name] ?? '')

/** Files that a Node server's folder often begins with. */
export const nodeMains = ['server', 'index', 'app', 'main', 'src/server', 'src/index', 'src/app', 'src/main'].flatMap(
  (name) => ['js', 'mjs', 'cjs', 'ts'].map((ending) => `${name}.${ending}`),
)

function startScript({ scripts }: Package): Guessed<string> | null {
  const start = scripts.start?.trim()
  if (!start) return null
  // These watch the folder for whoever works in it; a release never changes.
  return guessed(
    start.replace(/^nodemon\s/, 'node ').replace(/^next dev\b/, 'next start'),
    'package.json, scripts.start',
  )
}

function mainFile(folder: Folder, { main, dependencies }: Package): Guessed<string> | null {
  if (main !== null && folder.names.has(main.replace(/^\.\//, '')))
    return guessed(commandText(['node', main]), 'package.json, main')
  // Vite's src/main.ts is for browsers.
  const isServer = (name: string) => !dependencies.has('vite') || listens(folder, name)
  const found = nodeMains.find((name) => folder.names.has(name) && isServer(name)) ?? null
  return found === null ? null : guessed(`node ${found}`, found)
}

const sourcesOf = (words: readonly string[], { main }: Package): readonly string[] => [
  ...words.map((word) => word.replace(/^\.\//, '')),
  ...(main === null ? [] : [main.replace(/^\.\//, '')]),
  ...nodeMains,
]

/** npm finds the programs of packages by itself; outside of it they are named by their path. */
export const programPath = (word: string, { dependencies }: Package): string =>
  dependencies.has(ofPackages[word] ?? word) ? `node_modules/.bin/${word}` : word

/** Programs that are not called like their package. */
const ofPackages: Readonly<Record<string, string>> = {
  nest: '@nestjs/cli',
  'remix-serve': '@remix-run/serve',
  tsc: 'typescript',
}

/** What makes a server of its own, which needs none of its packages. */
function standalone(folder: Folder, from: Package): Start | null {
  const port = portOf(folder, { command: startScript(from), files: [], usual: 3000, of: 'Node' })
  const nextConfig = nextConfigs.find((name) => /output['"]?\s*:\s*['"]standalone['"]/.test(folder.texts[name] ?? ''))
  if (nextConfig !== undefined && from.dependencies.has('next')) {
    const copies = ['cp -r .next/static .next/standalone/.next/']
    if (folder.names.has('public')) copies.push('cp -r public .next/standalone/')
    return {
      what: 'a Next.js app, standalone',
      run: guessed(['node', '.next/standalone/server.js'], `${nextConfig}: output: 'standalone'`),
      port,
      build: guessed(
        inTurn(install(folder, from), `${manager(folder, from)} run build`, ...copies),
        'scripts.build, and the files that standalone leaves out',
      ),
      env: guessed({ HOSTNAME: '0.0.0.0' }, 'where a standalone Next.js listens'),
    }
  }
  if (!from.dependencies.has('nuxt')) return null
  return {
    what: 'a Nuxt app',
    run: guessed(['node', '.output/server/index.mjs'], 'package.json: nuxt'),
    port,
    build: built(folder, from),
  }
}

export const nextConfigs = ['next.config.js', 'next.config.mjs', 'next.config.ts']

/** A folder of files that Vite makes: its own preview serves them. */
function vitePreview(folder: Folder, from: Package): Start {
  const written = from.scripts.preview ? guessed(from.scripts.preview, 'package.json, scripts.preview') : null
  const port = portOf(folder, { command: written, files: [], usual: 4173, of: 'vite preview' })
  const words = ['node_modules/.bin/vite', 'preview', '--host', '0.0.0.0', '--port', String(port.value), '--strictPort']
  return {
    what: 'files that Vite makes',
    run: guessed(words, 'package.json: vite, and no script "start"'),
    port,
    build: built(folder, from),
    hints: [
      'vite preview is a small server of files; with many visitors nginx or Caddy is the better one.',
      'It answers by the name of a host only if preview.allowedHosts in the vite.config has that name.',
    ],
  }
}

/** Packages that are there are copied, unless there is something to build: then what .gitignore names stays out of the release. */
function built(
  folder: Folder,
  from: Package,
  env: Readonly<Record<string, string>> = {},
): Guessed<readonly string[]> | null {
  const packages = install(folder, from, env)
  const by = firstOf(folder, lockFiles) ?? 'package.json'
  if (from.scripts.build)
    return guessed(inTurn(packages, `${manager(folder, from)} run build`), `${by}; package.json, scripts.build`)
  if (from.dependencies.size === 0 || folder.names.has('node_modules')) return null
  return guessed(inTurn(packages), `${by}; there is no node_modules to be copied`)
}

const lockFiles = ['package-lock.json', 'npm-shrinkwrap.json', 'pnpm-lock.yaml', 'yarn.lock', 'bun.lock', 'bun.lockb']

function manager(folder: Folder, { packageManager }: Package): 'npm' | 'pnpm' | 'yarn' | 'bun' {
  const lock = firstOf(folder, lockFiles)
  const named = /^(pnpm|yarn|bun)@/.exec(packageManager)?.[1] ?? /^(pnpm|yarn|bun)\b/.exec(lock ?? '')?.[1]
  return named === 'pnpm' || named === 'yarn' || named === 'bun' ? named : 'npm'
}

/** Whether the build has a NODE_ENV, with which npm and others leave out what only a build needs. */
const setsNodeEnv = ({ texts }: Folder, env: Readonly<Record<string, string>>): boolean =>
  'NODE_ENV' in env || /^(export\s+)?NODE_ENV=/m.test(texts['.env'] ?? '')

/** @param env - what the app's start sets; the folder's `.env` comes on top */
function install(folder: Folder, from: Package, env: Readonly<Record<string, string>> = {}): string {
  const locked = firstOf(folder, lockFiles) !== null
  const withDevelopment = setsNodeEnv(folder, env)
  switch (manager(folder, from)) {
    case 'npm':
      return `npm ${locked ? 'ci' : 'install'}${withDevelopment && from.scripts.build ? ' --include=dev' : ''}`
    case 'pnpm':
      return `pnpm install${locked ? ' --frozen-lockfile' : ''}${withDevelopment ? ' --prod=false' : ''}`
    case 'yarn': {
      const isModern = /^yarn@[2-9]/.test(from.packageManager)
      const frozen = isModern ? ' --immutable' : ' --frozen-lockfile'
      return `yarn install${locked ? frozen : ''}${withDevelopment && !isModern ? ' --production=false' : ''}`
    }
    case 'bun':
      return `bun install${locked ? ' --frozen-lockfile' : ''}`
  }
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const textsOf = (value: unknown): Readonly<Record<string, string>> =>
  isMap(value)
    ? Object.fromEntries(
        Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
      )
    : {}
