/**
 * Import this first in every test that touches the kernel: the file then runs itself again in a network and mount namespace of its
 * own, so that a wrong program can never cut the machine off. Without root it runs as it is; such tests skip themselves with `asRoot`.
 */
import { spawnSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import process from 'node:process'

const inside = 'CUTOVER_TEST_NAMESPACE'

if (process.getuid?.() === 0) {
  if (process.env[inside] === undefined) {
    const environment = { ...process.env, [inside]: readlinkSync('/proc/self/ns/net') }
    const command = [
      'unshare',
      '--net',
      '--mount',
      '--',
      process.execPath,
      ...process.execArgv,
      ...process.argv.slice(1),
    ]
    process.execve?.('/usr/bin/unshare', command, environment)
  }
  if (process.env[inside] === readlinkSync('/proc/self/ns/net')) throw new Error('still in the first network namespace')
  spawnSync('ip', ['link', 'set', 'lo', 'up'], { stdio: 'inherit' })
}

/** For the `skip` option of a test that needs root: false, or the reason. */
export const asRoot: string | false = process.getuid?.() === 0 ? false : 'needs root'
