import { release } from 'node:os'

/** For the `skip` option of a test of what only newer kernels tell: false from that version on (`6.8`), or the reason. */
export function sinceLinux(version: string): string | false {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [ownMajor = 0, ownMinor = 0] = release().split('.').map(Number.parseFloat)
  return ownMajor > major || (ownMajor === major && ownMinor >= minor) ? false : `needs Linux ${version}`
}
