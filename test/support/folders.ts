/** Folders as people have them, and what those who have one do in it besides calling `cutover`. */

export interface UsersFolder {
  readonly title: string
  /** Its folder in test/fixtures. */
  readonly fixture: string
  /** The Debian packages that it needs. */
  readonly packages: readonly string[]
  /** Once, before anything else; it may use the npm registry. */
  readonly install: string | null
  /** Before each deploy. */
  readonly make: string | null
  /** Where in it the app lies that is deployed. */
  readonly deployed: string
  /** The files in which v1 becomes v2. */
  readonly changes: readonly string[]
  /** What is asked; the answer begins with v1 or v2. */
  readonly path: string
  /** What one has to say, or to know, that `init` cannot see. */
  readonly note: string
}

const plain = { packages: [], install: null, make: null, deployed: '.', path: '/' } as const
const npm = { ...plain, install: 'npm ci' } as const
const vite = { ...npm, fixture: 'vite', changes: ['index.html', 'src/main.ts', 'public/version.txt'] } as const

const oldAssets =
  'A page that a browser has from v1 asks v2 for the files of v1, whose names have other hashes: a CDN that keeps those, or a reload.'
const pip =
  '`build` installs what the list names at each deploy; from another index with a `pip.conf` of the user who owns the folder.'

export const folders = {
  express: {
    ...npm,
    title: 'Express',
    fixture: 'express',
    changes: ['app.js'],
    note: '`env: {NODE_ENV: production}`, else Express shows its visitors the stack of an error.',
  },
  fastify: {
    ...npm,
    title: 'Fastify, as fastify-cli makes it',
    fixture: 'fastify',
    changes: ['routes/root.js'],
    note: 'Fastify listens on localhost unless it is told a host. For visitors from elsewhere: `ports: [{port: 3000, address: any}]`.',
  },
  next: {
    ...npm,
    title: 'Next.js, `output: standalone`',
    fixture: 'next',
    changes: ['app/version.ts'],
    path: '/version',
    note: oldAssets,
  },
  'vite-serve': {
    ...vite,
    title: 'a Vite build, and `serve` as its `start`',
    path: '/version.txt',
    note: oldAssets,
  },
  'vite-preview': {
    ...vite,
    title: 'a Vite build, no `start`',
    install: 'npm pkg delete scripts.start',
    path: '/version.txt',
    note: `\`preview: {allowedHosts: ['shop.example']}\` in vite.config: Vite refuses names of hosts that it does not know. ${oldAssets}`,
  },
  flask: {
    ...plain,
    title: 'Flask with gunicorn, `requirements.txt`',
    fixture: 'flask',
    packages: ['python3', 'python3-venv', 'python3-flask', 'gunicorn'],
    changes: ['app.py'],
    note: `${pip} An app that a function makes: \`run\`, with \`'app:create_app()'\`.`,
  },
  fastapi: {
    ...plain,
    title: 'FastAPI with uvicorn, `pyproject.toml`',
    fixture: 'fastapi',
    packages: ['python3', 'python3-venv', 'python3-fastapi', 'uvicorn'],
    changes: ['app/main.py'],
    note: `${pip} More processes: \`workers: max\`.`,
  },
  sinatra: {
    ...plain,
    title: 'Sinatra',
    fixture: 'sinatra',
    packages: ['bundler', 'ruby-sinatra', 'puma'],
    install: 'bundle install --local',
    changes: ['app.rb'],
    note: '',
  },
  go: {
    ...plain,
    title: 'Go, its sources',
    fixture: 'go',
    packages: ['golang-go'],
    changes: ['main.go'],
    note: '',
  },
  'go-binary': {
    ...plain,
    title: 'a static Go binary, nothing else',
    fixture: 'go',
    packages: ['golang-go'],
    make: 'CGO_ENABLED=0 go build -o upload/hello .',
    deployed: 'upload',
    changes: ['main.go'],
    note: '`port`, if the program listens on another one than 8080.',
  },
  jar: {
    ...plain,
    title: 'a jar, nothing else',
    fixture: 'jar',
    packages: ['default-jdk-headless'],
    make: 'javac -d classes Shop.java && mkdir -p upload && jar --create --file upload/shop.jar --main-class Shop -C classes .',
    deployed: 'upload',
    changes: ['Shop.java'],
    note: '`port`, if the program listens on another one than 8080.',
  },
  php: {
    ...plain,
    title: 'PHP, plain pages',
    fixture: 'php',
    packages: ['php-cli'],
    changes: ['greeting.php'],
    note: "PHP's own server hands out every file of the folder: keep secrets elsewhere, or the pages in `public`.",
  },
} as const satisfies Readonly<Record<string, UsersFolder>>

export type FolderName = keyof typeof folders

export const folderNames = Object.keys(folders) as readonly FolderName[]

export const folderOf = (name: FolderName): UsersFolder => folders[name]
