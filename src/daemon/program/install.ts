/**
 * The daemon's own copy of its program, in `$CUTOVER_HOME/program`: no daemon depends on a checkout or a `node_modules` that somebody may delete.
 * `VERSION/` has what bundle.ts makes, and koffi beside it; `node-VERSION/` has Node, where that lies in a `node_modules` itself.
 */
import { existsSync, readFileSync } from 'node:fs'
import { cp, mkdir, rm, stat, statfs, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { isCheckout, ownVersion, programFolder } from '../../program.ts'
import { bundleDaemon } from './bundle.ts'
import { linkOrCopy, mayRun, onceWhole, seal } from './copies.ts'

/** How Node runs the daemon, which is to be small and mostly rests: one thread of V8's is enough for that. Node 24 still warns of its own SQLite. */
const nodeOptions = [
  '--max-semi-space-size=1',
  '--v8-pool-size=1',
  '--optimize-for-size',
  '--disable-warning=ExperimentalWarning',
]

/** Of koffi only what is loaded: most of it is its own source. */
const koffiFiles = ['package.json', 'index.js', 'src/koffi/index.js', 'src/koffi/src/static.js'].map(
  (name) => `koffi/${name}`,
)

/**
 * Copies the program of this version, unless it is there.
 * @returns the command of the daemon
 * @throws CutoverError `failed` if it cannot be bundled; what the file system says if it cannot be copied
 */
export async function installProgram(home: string): Promise<readonly [string, ...string[]]> {
  const folder = join(home, 'program')
  const program = await onceWhole(join(folder, ownVersion()), 'node_modules/koffi/index.js', makeProgram)
  return [await nodeFor(folder), ...nodeOptions, join(program, 'daemon.js')]
}

async function makeProgram(directory: string): Promise<void> {
  const made = placeOfBundle()
  if (made === null) await bundleDaemon(directory)
  else
    for (const name of ['daemon.js', 'package.json', 'bpf'])
      await cp(join(made, name), join(directory, name), { recursive: true })

  const modules = dirname(dirname(createRequire(programFolder).resolve('koffi')))
  const native = `@koromix/koffi-linux-${process.arch}`
  const own = join(directory, 'node_modules')
  for (const name of [...koffiFiles, native]) await cp(join(modules, name), join(own, name), { recursive: true })
  await seal(own)
  if (await mayRun(join(own, native, `linux_${process.arch}`, 'koffi.node'))) return
  // Nothing may be run from this file system (noexec): then koffi is used where it was installed.
  await rm(own, { recursive: true })
  await symlink(modules, own)
}

/** Where the daemon's program lies bundled already; null if it is not, or from other sources than the present ones. */
function placeOfBundle(): string | null {
  if (!isCheckout()) return fileURLToPath(programFolder)
  const dist = fileURLToPath(new URL('dist', programFolder))
  const manifest = join(dist, 'package.json')
  if (!existsSync(manifest)) return null
  return JSON.parse(readFileSync(manifest, 'utf8')).version === ownVersion() ? dist : null
}

/** Its 150 MB are copied only where that leaves as much again. */
async function nodeFor(folder: string): Promise<string> {
  if (!process.execPath.includes('/node_modules/')) return process.execPath
  const directory = join(folder, `node-${process.version}`)
  const copy = join(directory, 'node')
  const { bavail, bsize } = await statfs(folder)
  const { size } = await stat(process.execPath)
  if (!existsSync(copy) && bavail * bsize < 2 * size) return process.execPath
  await onceWhole(directory, 'node', async (aside) => {
    await mkdir(aside)
    await linkOrCopy(process.execPath, join(aside, 'node'))
  })
  return (await mayRun(copy)) ? copy : process.execPath
}
