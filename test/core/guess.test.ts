import assert from 'node:assert/strict'
import { test } from 'node:test'
import { splitCommand } from '../../src/core/command-words.ts'
import { parseConfig } from '../../src/core/config.ts'
import { guess, namedFiles } from '../../src/core/guess.ts'
import { commandText, fromShell } from '../../src/core/guess-command.ts'
import { guessedConfig, guessedKeys } from '../../src/core/guess-written.ts'

interface Case {
  readonly title: string
  /** Files with their texts; null: only its name counts. */
  readonly files: Readonly<Record<string, string | null>>
  readonly run: readonly string[]
  readonly port: number
  readonly build?: readonly string[] | null
  readonly others?: Readonly<Record<string, unknown>>
}

const sh = (text: string): readonly string[] => ['sh', '-c', text]
const venv = 'python3 -m venv --clear .venv && .venv/bin/pip install'
const json = (value: unknown) => JSON.stringify(value)
const bundle = '(bundle check || (bundle config set --local path vendor/bundle && bundle install))'
const schema = 'node_modules/cutover/docs/cutover.schema.json'
const rails = "gem 'rails'\ngem 'propshaft'\ngem 'puma'\n"

const cases: readonly Case[] = [
  {
    title: 'Express with its packages in the folder',
    files: {
      'package.json': json({ scripts: { start: 'node server.js' }, dependencies: { express: '5' } }),
      'server.js': '// listen(9999)\napp.listen(process.env.PORT || 3001)',
      node_modules: null,
    },
    run: ['node', 'server.js'],
    port: 3001,
    build: null,
  },
  {
    title: 'Express as its generator makes it, with packages that are nowhere, and a start that sets variables',
    files: {
      'package.json': json({
        scripts: { start: 'NODE_ENV=production PORT=4100 node ./bin/www' },
        dependencies: { express: '5' },
      }),
      'package-lock.json': null,
      'bin/www': "normalizePort(process.env.PORT || '3000')",
    },
    run: ['node', './bin/www'],
    port: 4100,
    build: ['npm', 'ci'],
    others: { env: { NODE_ENV: 'production' } },
  },
  {
    title: 'Fastify without a script, built with TypeScript',
    files: {
      'package.json': json({ main: 'dist/main.js', scripts: { build: 'tsc' }, dependencies: { fastify: '5' } }),
      'dist/main.js': null,
      'pnpm-lock.yaml': null,
      'src/main.ts': 'fastify.listen({ port: 3005 })',
    },
    run: ['node', 'dist/main.js'],
    port: 3005,
    build: sh('pnpm install --frozen-lockfile && pnpm run build'),
  },
  {
    title: 'Next.js with its own server',
    files: {
      'package.json': json({
        scripts: { start: 'next start -p 3100', build: 'next build' },
        dependencies: { next: '16' },
      }),
      'package-lock.json': null,
    },
    run: ['node_modules/.bin/next', 'start', '-p', '3100'],
    port: 3100,
    build: sh('npm ci && npm run build'),
  },
  {
    title: 'Next.js, standalone',
    files: {
      'package.json': json({ scripts: { start: 'next start', build: 'next build' }, dependencies: { next: '16' } }),
      'package-lock.json': null,
      'next.config.mjs': "export default { output: 'standalone' }",
      public: null,
    },
    run: ['node', '.next/standalone/server.js'],
    port: 3000,
    build: sh(
      'npm ci && npm run build && cp -r .next/static .next/standalone/.next/ && cp -r public .next/standalone/',
    ),
  },
  {
    title: 'a Vite build without a server',
    files: {
      'package.json': json({ scripts: { build: 'vite build' }, devDependencies: { vite: '8' } }),
      'yarn.lock': null,
      'src/main.ts': "import './style.css'",
    },
    run: ['node_modules/.bin/vite', 'preview', '--host', '0.0.0.0', '--port', '4173', '--strictPort'],
    port: 4173,
    build: sh('yarn install --frozen-lockfile && yarn run build'),
  },
  {
    title: 'a server of its own beside what Vite makes',
    files: {
      'package.json': json({ scripts: { build: 'vite build' }, devDependencies: { vite: '8' } }),
      'src/main.ts': "import './style.css'",
      'server.js': 'app.listen(3200)',
    },
    run: ['node', 'server.js'],
    port: 3200,
  },
  {
    title: 'a build for which NODE_ENV is set by the .env',
    files: {
      'package.json': json({
        scripts: { build: 'tsc', start: 'node dist/main.js' },
        devDependencies: { typescript: '7' },
      }),
      'package-lock.json': null,
      '.env': 'NODE_ENV=production\n',
    },
    run: ['node', 'dist/main.js'],
    port: 3000,
    build: sh('npm ci --include=dev && npm run build'),
    others: { env_file: '.env' },
  },
  {
    title: 'a Procfile whose line needs a shell, and gives its own port',
    files: {
      Procfile: `release: ./migrate\nweb: node server.js --port \${PORT:-5000} --name "a b"\n`,
      'package.json': json({ dependencies: {} }),
    },
    run: sh(`exec node server.js --port \${PORT:-5000} --name "a b"`),
    port: 5000,
    build: null,
  },
  {
    title: 'Flask with gunicorn, by a Procfile',
    files: {
      Procfile: 'web: gunicorn --bind 0.0.0.0:8123 app:app',
      'requirements.txt': 'flask\ngunicorn\n',
      'app.py': 'app = Flask(__name__)\n',
    },
    run: ['.venv/bin/python', '-m', 'gunicorn', '--bind', '0.0.0.0:8123', 'app:app'],
    port: 8123,
    build: sh(`${venv} -r requirements.txt`),
  },
  {
    title: 'Flask alone, with a virtual environment, an .env and uploads in the folder',
    files: {
      'requirements.txt': 'flask\n',
      'app.py': 'app = Flask(__name__)\n\nif __name__ == "__main__":\n    app.run(port=5050)\n',
      '.venv': null,
      '.env': 'SECRET=hush\n',
      uploads: null,
    },
    run: ['.venv/bin/python', '-m', 'gunicorn', '--bind', '0.0.0.0:5050', '--workers', '2', 'app:app'],
    port: 5050,
    build: sh(`${venv} -r requirements.txt gunicorn`),
    others: { ignore: ['.venv'], env_file: '.env', shared: ['uploads'] },
  },
  {
    title: 'FastAPI',
    files: {
      'pyproject.toml': '[build-system]\n[project]\ndependencies = ["fastapi", "uvicorn"]',
      'main.py': 'api = FastAPI(title="x")\n',
    },
    run: ['.venv/bin/python', '-m', 'uvicorn', 'main:api', '--host', '0.0.0.0', '--port', '8000'],
    port: 8000,
    build: sh(`${venv} .`),
  },
  {
    title: 'FastAPI in folders, which is no package',
    files: {
      'pyproject.toml': '[project]\ndependencies = ["fastapi"]',
      'app/main.py': 'app = FastAPI()\n',
      'app/__init__.py': null,
    },
    run: ['.venv/bin/python', '-m', 'uvicorn', 'app.main:app', '--host', '0.0.0.0', '--port', '8000'],
    port: 8000,
    build: sh(
      'python3 -m venv --clear .venv && .venv/bin/python -c \'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))' +
        '["project"].get("dependencies", []), sep="\\n")\' > .venv/needs && .venv/bin/pip install -r .venv/needs uvicorn',
    ),
  },
  {
    title: 'Flask beside a pyproject.toml for tools alone',
    files: { 'pyproject.toml': '[tool.ruff]\n', 'app.py': 'app = Flask(__name__)\n' },
    run: ['python3', '-m', 'gunicorn', '--bind', '0.0.0.0:8000', '--workers', '2', 'app:app'],
    port: 8000,
    build: null,
  },
  {
    title: 'Django with a package.json for browsers',
    files: {
      'manage.py': "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')",
      'package.json': json({ scripts: { start: 'vite' }, devDependencies: { vite: '8' } }),
      'db.sqlite3': null,
    },
    run: ['python3', '-m', 'gunicorn', '--bind', '0.0.0.0:8000', '--workers', '2', 'mysite.wsgi'],
    port: 8000,
    build: null,
    others: { shared: ['db.sqlite3'] },
  },
  {
    title: 'plain WSGI on the packages of the machine',
    files: { 'app.py': 'def application(environ, start_response):\n' },
    run: ['python3', '-m', 'gunicorn', '--bind', '0.0.0.0:8000', '--workers', '2', 'app:application'],
    port: 8000,
    build: null,
  },
  {
    title: 'plain ASGI',
    files: { 'app.py': 'async def app(scope, receive, send):\n' },
    run: ['python3', '-m', 'uvicorn', 'app:app', '--host', '0.0.0.0', '--port', '8000'],
    port: 8000,
    build: null,
  },
  {
    title: 'a Python file that is a server by itself',
    files: { 'server.py': 'Server(("0.0.0.0", 8081), Handler).serve_forever()' },
    run: ['python3', 'server.py'],
    port: 8081,
  },
  {
    title: 'a Node file without a package.json',
    files: { 'server.mjs': 'server.listen(8080, () => {})' },
    run: ['node', 'server.mjs'],
    port: 8080,
    build: null,
  },
  {
    title: 'Rails',
    files: {
      Gemfile: rails,
      'config.ru': 'run Rails.application',
      'config/puma.rb': 'port ENV.fetch("PORT", 3030)',
      'config/routes.rb': 'get "up" => "rails/health#show"',
      'config/master.key': null,
    },
    run: ['bundle', 'exec', 'puma', '-C', 'config/puma.rb'],
    port: 3030,
    build: sh(`${bundle} && SECRET_KEY_BASE_DUMMY=1 bin/rails assets:precompile`),
    others: { health: { path: '/up' }, shared: ['config/master.key'], env: { RAILS_ENV: 'production' } },
  },
  {
    title: 'Rack without a Gemfile',
    files: { 'config.ru': 'run App' },
    run: ['puma', '--bind', 'tcp://0.0.0.0:9292'],
    port: 9292,
    build: null,
    others: { env: { RACK_ENV: 'production' } },
  },
  {
    title: 'Sinatra by itself',
    files: { Gemfile: "gem 'sinatra'", 'app.rb': "require 'sinatra'" },
    run: ['bundle', 'exec', 'ruby', 'app.rb', '-o', '0.0.0.0', '-p', '4567'],
    port: 4567,
    build: sh(bundle),
    others: { env: { APP_ENV: 'production' } },
  },
  {
    title: 'Go',
    files: { 'go.mod': 'module shop', 'main.go': 'package main\nfunc main() { http.ListenAndServe(":8181", nil) }' },
    run: ['./bin/server'],
    port: 8181,
    build: ['go', 'build', '-o', 'bin/server', '.'],
  },
  {
    title: 'Go with its program below cmd',
    files: {
      'go.mod': 'module shop',
      'cmd/shop': null,
      'cmd/shop/main.go': 'package main\nvar s = http.Server{Addr: ":8282"}',
    },
    run: ['./bin/server'],
    port: 8282,
    build: ['go', 'build', '-o', 'bin/server', './cmd/shop'],
  },
  {
    title: 'Spring Boot',
    files: {
      'pom.xml':
        '<parent><artifactId>spring-boot-starter-parent</artifactId><version>4.0.0</version></parent><artifactId>shop</artifactId>' +
        '<version>1.2</version><dependencies><dependency><artifactId>spring-boot-starter-actuator</artifactId></dependency></dependencies>',
      'src/main/resources/application.properties': `server.port=\${PORT:8090}\n`,
    },
    run: ['java', '-jar', 'target/shop-1.2.jar'],
    port: 8090,
    build: ['mvn', '--batch-mode', '--quiet', 'package', '-DskipTests'],
    others: { health: { path: '/actuator/health' } },
  },
  { title: 'a jar', files: { 'my shop.jar': null }, run: ['java', '-jar', 'my shop.jar'], port: 8080, build: null },
  {
    title: 'PHP',
    files: { 'index.php': null, '.env': 'PORT=8000\n' },
    run: ['php', '-S', '0.0.0.0:8000', '-t', '.'],
    port: 8000,
    others: { env: { PHP_CLI_SERVER_WORKERS: '8' }, env_file: '.env', ignore: ['.env'] },
  },
  {
    title: 'Caddy',
    files: { Caddyfile: '{\n\tadmin off\n}\nhttp://:8083 {\n}' },
    run: ['caddy', 'run', '--config', 'Caddyfile', '--adapter', 'caddyfile'],
    port: 8083,
  },
  {
    title: 'nothing but a Dockerfile',
    files: { Dockerfile: 'FROM scratch\nWORKDIR /app\nEXPOSE 7000\nCMD ["/app/serve", "--fast"]\n', serve: null },
    run: ['./serve', '--fast'],
    port: 7000,
    build: null,
  },
]

function folderOf(files: Case['files'], name = 'shop') {
  const texts = Object.fromEntries(
    Object.entries(files).filter((entry): entry is [string, string] => entry[1] !== null),
  )
  return { name, names: new Set(Object.keys(files)), texts }
}

for (const { title, files, run, port, build, others } of cases) {
  test(`a config that works is guessed for ${title}`, () => {
    const found = guess(folderOf(files))
    assert(found)
    const text = guessedConfig(found, schema)
    const config = parseConfig(text, { file: 'cutover.yaml', cores: 2 })
    assert.deepEqual(config.run, run)
    assert.deepEqual(
      config.ports.map((each) => each.port),
      [port],
    )
    if (build !== undefined) assert.deepEqual(config.build, build)
    const keys = Object.fromEntries(guessedKeys(found).map(({ key, value }) => [key, value]))
    for (const [key, value] of Object.entries(others ?? {})) assert.deepEqual(keys[key], value, key)
    for (const { key, from } of guessedKeys(found))
      assert(text.includes(`# ${from}\n${key}:`), `${key} says where it is from`)
    assert.doesNotMatch(text, /hush/)
  })
}

test('a folder that says nothing is not guessed at', () => {
  assert.equal(guess(folderOf({ 'README.md': null })), null)
  assert.equal(guess(folderOf({ 'package.json': '{ broken' })), null)
  assert.equal(guess(folderOf({ 'package.json': json({ scripts: ['start'], dependencies: 'x' }) })), null)
  assert.equal(guess(folderOf({ 'a.jar': null, 'b.jar': null })), null)
})

test("an app's name is made to fit, whatever the folder and the package are called", () => {
  const named = (folder: string, name?: string) =>
    guess(folderOf({ 'package.json': json({ name, scripts: { start: 'node .' } }) }, folder))?.app.value
  assert.equal(named('x', '@acme/Web_Shop'), 'web-shop')
  assert.equal(named('Köln & Söhne (2026)'), 'koln-sohne-2026')
  assert.equal(named('x', `${'a'.repeat(39)}-b`), 'a'.repeat(39))
  assert.equal(named('店'), 'app')
})

test('whatever a file says, the text that is written says the same and nothing else', () => {
  for (const web of [
    'a: b #c',
    "it's $HOME && echo '*'",
    '"x',
    '- y',
    '{z}',
    'a\u2028port: 1',
    '\\',
    '`id`',
    'A=$B c; d',
  ]) {
    const found = guess(folderOf({ Procfile: `web: ${web}` }))
    assert(found)
    const config = parseConfig(guessedConfig(found, schema), { file: 'cutover.yaml', cores: 2 })
    assert.deepEqual(config.run, fromShell(web).words, web)
    assert.equal(config.ports.length, 1)
  }
})

test('words are written as text that means them', () => {
  for (const words of [['a'], ['a b', "it's", '', '$HOME', 'A=b', '~', '#', '*', '\\', '"', 'a\nb']])
    assert.deepEqual(splitCommand(commandText(words)), { words })
})

test('no file outside of the folder is read because one in it names it', () => {
  const Procfile = 'web: node ../../etc/secret.js /etc/other.js ./src/run.js a/../../b.py'
  assert.deepEqual(namedFiles(folderOf({ Procfile })), ['src/run.js'])
})

test('one compiled program is what is started, and of two none', () => {
  const found = guess({ ...folderOf({ shop: null, '.env': 'PORT=9000\n' }), programs: ['shop'] })
  assert.deepEqual([found?.start.run.value, found?.start.port.value], [['./shop'], 9000])
  assert.equal(guess({ ...folderOf({ shop: null, tool: null }), programs: ['shop', 'tool'] }), null)
})

test('Fastify is said to listen on this machine only, unless something names a host', () => {
  const hints = (start: string, app = 'export default (fastify) => fastify.register(routes)') =>
    guess(
      folderOf({ 'package.json': json({ scripts: { start }, dependencies: { fastify: '5' } }), 'app.js': app }),
    )?.start.hints?.filter((hint) => hint.includes('address: any'))
  assert.equal(hints('fastify start app.js')?.length, 1)
  assert.deepEqual(hints('fastify start --address 0.0.0.0 app.js'), [])
  assert.deepEqual(hints('node app.js', "fastify.listen({ port: 3000, host: '::' })"), [])
})
