/** Plain JavaScript from the sources: one file for the daemon, and, for a package, one for the commands, which load their parts at need. */
import { execFile } from 'node:child_process'
import { cp, mkdir, writeFile } from 'node:fs/promises'
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
  await esbuild(['daemon=src/daemon/entry.ts', `--outdir=${directory}`])
  await cp(join(root, 'bpf'), join(directory, 'bpf'), { recursive: true, filter: (path) => !/\.(c|h|sh)$/.test(path) })
  const manifest = { name: 'cutover', version: ownVersion(), type: 'module', private: true }
  await writeFile(join(directory, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

/** Makes `cutover.js` in the directory, with a file beside it for each part that is loaded at need. */
export const bundleCommands = (directory: string): Promise<void> =>
  esbuild(['cutover=src/cli/main.ts', `--outdir=${directory}`, '--splitting', '--chunk-names=parts/[name]-[hash]'])

/** For any Node that runs Cutover. Names are kept, so that the stack of a defect can be read. */
const options = [
  '--bundle',
  '--platform=node',
  '--format=esm',
  '--target=node24',
  '--minify-syntax',
  '--minify-whitespace',
  '--external:koffi',
  // Dependencies that are CommonJS call it.
  "--banner:js=import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  '--log-level=error',
  '--color=false',
]

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
