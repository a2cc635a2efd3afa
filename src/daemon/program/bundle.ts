/** Plain JavaScript from the sources: one file for the daemon, and, for a package, one for the commands, which load their parts at need. */
import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { failure } from '../../core/errors.ts'
import { ownVersion, programFolder } from '../../program.ts'

const root = fileURLToPath(programFolder)

/**
 * Makes the daemon's program in the directory, which is made if need be: `daemon.js`, the kernel programs, and a package.json with the
 * version. Its one dependency that is no JavaScript, koffi, has to be found from there.
 * @throws CutoverError `failed` without esbuild, or if a source makes no sense
 */
export async function bundleDaemon(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true })
  await esbuild(['daemon=src/daemon/entry.ts', `--outdir=${directory}`, ...bundled, requireInModule])
  await cp(join(root, 'bpf'), join(directory, 'bpf'), { recursive: true, filter: (path) => !/\.(c|h|sh)$/.test(path) })
  const manifest = { name: 'cutover', version: ownVersion(), type: 'module', private: true }
  await writeFile(join(directory, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

/**
 * Makes `cutover.cjs` in the directory, with a file beside it for each part that is loaded at need. CommonJS, because Node loads it sooner: where a
 * module imports one of Node's own, all is made that could be imported from that, `crypto` for `process`, and whoever types a command waits for it.
 */
export async function bundleCommands(directory: string): Promise<void> {
  const modules = `${directory}.modules`
  // esbuild makes parts of modules only; then each becomes what it is to be by itself.
  const named = ['--splitting', '--chunk-names=parts/[name]-[hash]', '--out-extension:.js=.cjs']
  try {
    await esbuild(['cutover=src/cli/main.ts', `--outdir=${modules}`, ...named, ...bundled])
    const files = await readdir(modules, { recursive: true })
    const paths = files.filter((name) => name.endsWith('.cjs')).map((name) => join(modules, name))
    await esbuild([...paths, `--outbase=${modules}`, `--outdir=${directory}`, '--out-extension:.js=.cjs', ...commonJs])
  } finally {
    await rm(modules, { recursive: true, force: true })
  }
}

/** For any Node that runs Cutover. Names are kept, so that the stack of a defect can be read. */
const options = [
  '--platform=node',
  '--target=node24',
  '--minify-syntax',
  '--minify-whitespace',
  '--log-level=error',
  '--color=false',
]

const bundled = ['--bundle', '--format=esm', '--external:koffi']

/** Dependencies that are CommonJS call it. */
const requireInModule =
  "--banner:js=import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);"

const commonJs = ['--format=cjs', '--supported:dynamic-import=false', '--define:import.meta.dirname=__dirname']

async function esbuild(args: readonly string[]): Promise<void> {
  const binary = findEsbuild()
  try {
    await promisify(execFile)(binary, [...args, ...options], { cwd: root })
  } catch (error) {
    const { stderr } = error as { stderr?: string }
    throw failure(`The sources in ${root} could not be bundled. Nothing was started.`, {
      details: (stderr ?? String(error)).trim().split('\n'),
      cause: error,
    })
  }
}

/** The package of the platform itself: it is the whole program. */
function findEsbuild(): string {
  try {
    return createRequire(programFolder).resolve(`@esbuild/linux-${process.arch}/bin/esbuild`)
  } catch (error) {
    throw failure(
      `The daemon runs from plain JavaScript, and esbuild, which makes it from the sources in ${root}, is not installed. Nothing was ` +
        'started. Run there: npm ci',
      { cause: error },
    )
  }
}
