/** How a Python server is started. */
import { inTurn } from './guess-command.ts'
import { type Folder, firstIn, firstOf, type Guessed, guessed, type Start } from './guess-folder.ts'
import { portOf } from './guess-port.ts'

export const pythonMains = [
  'app.py',
  'main.py',
  'wsgi.py',
  'asgi.py',
  'server.py',
  'run.py',
  'api.py',
  'app/main.py',
  'app/app.py',
  'app/api.py',
  'src/app.py',
  'src/main.py',
]

/** Django, by its manage.py. */
export function guessDjango(folder: Folder): Start | null {
  const project = /DJANGO_SETTINGS_MODULE['"],\s*['"](\w+)\./.exec(folder.texts['manage.py'] ?? '')?.[1]
  if (project === undefined) return null
  const packages = packagesWith(folder, 'gunicorn')
  const port = portOf(folder, { command: null, files: [], usual: 8000, of: 'Django' })
  return {
    what: 'a Django app',
    run: gunicorn(packages, `${project}.wsgi`, port.value, `manage.py: ${project}`),
    port,
    ...packages.keys,
    hints: [
      `release: ${packages.python} manage.py migrate --noinput   # once per release, after build; a rollback does not undo it`,
    ],
  }
}

/** An app by the object that a server of Python's is told to call, or a file that is a server by itself. */
export function guessPython(folder: Folder): Start | null {
  const others = Object.keys(folder.texts).filter((name) => name.endsWith('.py'))
  const application = firstIn(folder, [...pythonMains, ...others], applicationIn)
  if (application) return served(folder, application.file, application.value)
  const main = firstOf(folder, pythonMains)
  const isServer = /\b(serve_forever|run_forever|run_app|uvicorn\.run|listen)\(/.test(folder.texts[main ?? ''] ?? '')
  if (main === null || !isServer) return null
  const packages = packagesWith(folder, null)
  return {
    what: 'a Python server',
    run: guessed([packages.python, main], main),
    port: portOf(folder, { command: null, files: [main], usual: 8000, of: 'Python' }),
    ...packages.keys,
  }
}

interface Application {
  readonly variable: string
  readonly what: string
  readonly isAsync: boolean
  /** The piece of the text that says it. */
  readonly said: string
}

const makers =
  /^(\w+)(?:\s*:\s*\w+)?\s*=\s*(?:\w+\.)?(Flask|FastAPI|Starlette|Quart|Bottle|get_wsgi_application|get_asgi_application)\(/m

function applicationIn(text: string): Application | null {
  const [made, variable, maker] = makers.exec(text) ?? []
  if (made !== undefined && variable !== undefined && maker !== undefined) {
    const isAsync = ['FastAPI', 'Starlette', 'Quart', 'get_asgi_application'].includes(maker)
    return { variable, what: maker.startsWith('get_') ? 'a Python app' : `a ${maker} app`, isAsync, said: made }
  }
  const [plain, isAsync, name] = /^(async )?def (\w+)\((?:environ|scope)\b/m.exec(text) ?? []
  if (plain === undefined || name === undefined) return null
  return { variable: name, what: isAsync ? 'an ASGI app' : 'a WSGI app', isAsync: isAsync !== undefined, said: plain }
}

function served(folder: Folder, file: string, { variable, what, isAsync, said }: Application): Start {
  const server = isAsync ? 'uvicorn' : 'gunicorn'
  const packages = packagesWith(folder, server)
  const from = `${file}: ${said}`
  const port = portOf(folder, { command: null, files: [file], usual: 8000, of: server })
  const name = `${file.replace(/\.py$/, '').replaceAll('/', '.')}:${variable}`
  const words = ['-m', 'uvicorn', name, '--host', '0.0.0.0', '--port', String(port.value)]
  return {
    what,
    run: isAsync ? guessed([packages.python, ...words], from) : gunicorn(packages, name, port.value, from),
    port,
    ...packages.keys,
  }
}

const gunicorn = ({ python }: Packages, app: string, port: number, from: string): Guessed<readonly string[]> =>
  guessed([python, '-m', 'gunicorn', '--bind', `0.0.0.0:${port}`, '--workers', '2', app], from)

interface Packages {
  readonly python: string
  readonly keys: Pick<Start, 'build' | 'ignore'>
}

/**
 * A virtual environment that is made anew for each release, since one that is there holds links out of the folder and its own path.
 * @param server - the package of the server, which people often have on the machine only
 */
function packagesWith(folder: Folder, server: string | null): Packages {
  const project = folder.texts['pyproject.toml'] ?? ''
  // Many have one for the settings of their tools alone.
  const lists = ['requirements.txt', 'uv.lock', ...(/dependencies/.test(project) ? ['pyproject.toml'] : [])]
  const source = firstOf(folder, lists)
  const made = firstOf(folder, ['.venv', 'venv'])
  const ignore = made === null ? null : guessed([made], `${made}: links out of the folder; build makes one`)
  // Without a list of packages those of the machine are all there can be.
  if (source === null) return { python: 'python3', keys: { ignore } }
  const listed = new RegExp(`\\b${server}\\b`, 'i').test(folder.texts[source] ?? '')
  const more = server === null || listed ? '' : ` ${server}`
  const pip = '.venv/bin/pip install'
  const commands = {
    'requirements.txt': ['python3 -m venv --clear .venv', `${pip} -r requirements.txt${more}`],
    'uv.lock': ['uv sync --frozen', ...(more ? [`uv pip install${more}`] : [])],
    'pyproject.toml': [
      'python3 -m venv --clear .venv',
      ...(isPackage(project)
        ? [`${pip} .${more}`]
        : [`.venv/bin/python -c '${printDependencies}' > .venv/needs`, `${pip} -r .venv/needs${more}`]),
    ],
  }
  const from = more ? `${source}, and${more} to serve it` : source
  return {
    python: '.venv/bin/python',
    keys: { build: guessed(inTurn(...(commands[source as keyof typeof commands] ?? [])), from), ignore },
  }
}

/** Whether it says how a package is made of it. Of what has several folders and does not say that, setuptools makes none. */
const isPackage = (pyproject: string): boolean => /^\[(build-system\]|tool\.poetry\b)/m.test(pyproject)

/** For a project that is no package: pip has no option for what one needs without installing the project itself. */
const printDependencies =
  'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"].get("dependencies", []), sep="\\n")'
