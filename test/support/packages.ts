/** Debian packages that tests need. `.ci/packages` is the one list of them; a test names those it cannot do without. */
import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import process from 'node:process'

const list = new URL('../../.ci/packages', import.meta.url)

/** Package name → the program, or the absolute path of the file, by which it is recognised. */
const packages: ReadonlyMap<string, string> = new Map(
  readFileSync(list, 'utf8')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim().split(/\s+/))
    .filter(([name]) => name)
    .map(([name = '', sign = name]) => [name, sign]),
)

/**
 * For the `skip` option of a test: false if all the packages are there, or the reason.
 * @throws Error in CI, where a missing package is a failure, and for a package that is not on the list.
 */
export function needs(...names: readonly string[]): string | false {
  const missing = names.filter((name) => {
    const sign = packages.get(name)
    if (sign === undefined) throw new Error(`${name} is not in .ci/packages`)
    return !isThere(sign)
  })
  if (missing.length === 0) return false
  const reason = `needs apt-get install ${missing.join(' ')}`
  if (process.env.CI === 'true') throw new Error(reason)
  return reason
}

function isThere(sign: string): boolean {
  const places = sign.startsWith('/') ? [sign] : (process.env.PATH ?? '').split(delimiter).map((at) => join(at, sign))
  return places.some((place) => {
    try {
      accessSync(place, constants.R_OK)
      return true
    } catch {
      return false
    }
  })
}
