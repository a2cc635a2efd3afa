/**
 * Import this first in every test of what an ordinary user can do: as root the file runs itself again, in a network and mount namespace of its own
 * and as the user `nobody`, without a single privilege. The checkout is seen there at another place, since root's own folders are closed to others.
 */
import { spawnSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const inside = 'CUTOVER_TEST_NAMESPACE'
const nobody = '65534'
const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
/** Empty on every Debian machine, and open to look into. */
const seenAt = '/mnt'

const there = (path: string): string => (path.startsWith(`${root}/`) ? seenAt + path.slice(root.length) : path)

if (process.getuid?.() === 0) {
  if (process.env[inside] === undefined) {
    const environment = { ...process.env, [inside]: readlinkSync('/proc/self/ns/net') }
    process.execve?.(
      '/usr/bin/unshare',
      ['unshare', '--net', '--mount', '--', process.execPath, ...again()],
      environment,
    )
  }
  if (process.env[inside] === readlinkSync('/proc/self/ns/net')) throw new Error('still in the first network namespace')
  run('ip', 'link', 'set', 'lo', 'up')
  run('mount', '--bind', root, seenAt)
  process.chdir(seenAt)
  const user = ['--reuid', nobody, '--regid', nobody, '--clear-groups', '--bounding-set=-all', '--no-new-privs']
  process.execve?.('/usr/bin/setpriv', ['setpriv', ...user, there(process.execPath), ...again().map(there)], {
    ...process.env,
    HOME: '/tmp',
    PATH: (process.env.PATH ?? '').split(':').map(there).join(':'),
  })
}

function again(): string[] {
  return [...process.execArgv, ...process.argv.slice(1)]
}

function run(...[program, ...args]: [string, ...string[]]): void {
  const { status } = spawnSync(program, args, { stdio: 'inherit' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed`)
}
