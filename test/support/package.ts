/** The package as people get it: packed from a checkout, and installed into a folder. Most of it needs the npm registry, which a test's namespace has not. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Prepared {
  /** All of it, to be removed at the end. */
  readonly directory: string
  /** An empty folder into which the package was installed. */
  readonly folder: string
  /** The oldest Node that is supported, and one that is too old. */
  readonly oldest: string
  readonly older: string
}

/** npm under the Node that runs this; scripts of a package find that one too. */
function npm(args: readonly string[], cwd: string): void {
  const program = realpathSync(execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim())
  const PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
  execFileSync(
    process.execPath,
    [program, '--no-audit', '--no-fund', '--loglevel=error', '--fetch-retries=5', ...args],
    {
      cwd,
      env: { ...process.env, PATH },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
}

/** Packs the checkout; the file of the package. */
export function packed(into: string, checkout = root): string {
  mkdirSync(into, { recursive: true })
  npm(['pack', '--pack-destination', into], checkout)
  const [name] = readdirSync(into).filter((name) => name.endsWith('.tgz'))
  if (name === undefined) throw new Error('npm pack made nothing')
  return join(into, name)
}

/** Installs a package file over what is there, if need be without the registry. */
export const install = (folder: string, file: string, options: readonly string[] = []): void =>
  npm(['install', ...options, file], folder)

/**
 * Lays a package file out in an empty folder as npm does, where there is no registry: what it depends on comes from this checkout.
 * @returns the command, a link as npm makes it
 */
export function layOut(folder: string, file: string): string {
  const modules = join(folder, 'node_modules')
  const own = join(modules, 'cutover')
  for (const directory of [own, join(modules, '.bin')]) mkdirSync(directory, { recursive: true })
  execFileSync('tar', ['-xzf', file, '-C', own, '--strip-components=1'])
  for (const name of ['koffi', '@koromix'])
    cpSync(join(root, 'node_modules', name), join(modules, name), { recursive: true })
  const command = join(modules, '.bin', 'cutover')
  symlinkSync('../cutover/bin/cutover.js', command)
  return command
}

/** To be called outside of a namespace. */
export function prepare(): Prepared {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-package-'))
  const folder = join(directory, 'folder')
  mkdirSync(folder)
  install(folder, packed(join(directory, 'packed')))
  const nodeOf = (major: number) => {
    const place = join(directory, `node-${major}`)
    mkdirSync(place)
    npm(['install', `node-linux-${process.arch}@${major}`], place)
    return join(place, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node')
  }
  return { directory, folder, oldest: nodeOf(24), older: nodeOf(22) }
}
