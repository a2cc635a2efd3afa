/** Packages of Debian, fetched and unpacked into a folder of their own: nothing is installed. */
import { execFileSync } from 'node:child_process'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Scope } from '../../bench/figures.ts'

/** The one that is current for this machine's Debian. */
export function kernelPackage(): string {
  const depends = execFileSync('apt-cache', ['depends', 'linux-image-amd64'], { encoding: 'utf8' })
  const [, name] = /Depends: (linux-image-\S+)/.exec(depends) ?? []
  if (name === undefined) throw new Error('apt knows no linux-image-amd64; try apt-get update')
  return name
}

/** The folder into which the package, and busybox for its first steps, were unpacked. */
export function unpacked(scope: Scope, kernel: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-kernel-'))
  scope.after(() => rmSync(directory, { recursive: true, force: true }))
  execFileSync('apt-get', ['download', '-q', kernel, 'busybox-static'], { cwd: directory, stdio: ['ignore', 2, 2] })
  for (const file of globSync('*.deb', { cwd: directory }))
    execFileSync('dpkg-deb', ['-x', file, '.'], { cwd: directory, stdio: 'inherit' })
  return directory
}
