/**
 * This very program: the folder that holds it, and which version it is. The folder is a checkout, an installed package, or the copy from which
 * a daemon runs; each has a package.json at its root.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Ends with a slash. */
export const programFolder: URL = pathToFileURL(`${folderAbove(import.meta.dirname)}/`)

/** True where this runs from its sources, which may change under it. */
export const isCheckout = (): boolean => existsSync(new URL('src/program.ts', programFolder))

/** `0.1.0`, or, in a checkout, `0.1.0+1a2b3c4d`: a digest of the sources makes a changed checkout another version. */
export function ownVersion(): string {
  version ??= isCheckout() ? `${packageVersion()}+${digestOfSources()}` : packageVersion()
  return version
}

let version: string | null = null

function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('package.json', programFolder), 'utf8'))
  if (typeof manifest === 'object' && manifest && 'version' in manifest) return String(manifest.version)
  throw new Error('package.json has no version')
}

/** All that the program is made of: its sources, the kernel's part, and, by the lock, its dependencies. */
function digestOfSources(): string {
  // At need: no command of a package waits for it.
  const digest = process.getBuiltinModule('node:crypto').createHash('sha256')
  const add = (path: string) => digest.update(`${path}\0`).update(readFileSync(new URL(path, programFolder)))
  for (const [folder, ending] of [
    ['src', '.ts'],
    ['bpf', '.o'],
  ] as const) {
    const names = readdirSync(new URL(folder, programFolder), { recursive: true, encoding: 'utf8' })
    for (const name of names.filter((name) => name.endsWith(ending)).toSorted()) add(join(folder, name))
  }
  add('package-lock.json')
  return digest.digest('hex').slice(0, 8)
}

function folderAbove(directory: string): string {
  if (existsSync(join(directory, 'package.json'))) return directory
  if (directory === '/') throw new Error('Cutover lies in no package')
  return folderAbove(dirname(directory))
}
