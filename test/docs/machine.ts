/**
 * A machine for docs/install.md, made of this one: in the test's mount namespace /var/lib, /srv, /run and the folder of systemd's units are empty, users
 * and hosts are its own, and an sshd listens that lets root in. What the page does to a machine happens there and goes with the namespace.
 */
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { untilAccepting } from '../support/examples.ts'

export interface Machine {
  /** With everything in it that the page types. */
  readonly env: NodeJS.ProcessEnv
  /** Lets whoever has this new key in, with these options before it as `authorized_keys` has them; the file of the key. */
  letIn(name: string, options?: string): string
}

/** @param directory an empty one, in which what the machine is made of lies. Only in a namespace of the test's own. */
export async function makeMachine(t: TestContext, directory: string): Promise<Machine> {
  const [programs, packages, home] = ['programs', 'usr', 'home'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  for (const place of [programs, packages, home, join(home, '.ssh')]) mkdirSync(place, { mode: 0o755 })
  for (const place of ['/var/lib', '/srv', '/run', '/etc/systemd/system'])
    run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'none', place)
  replace(directory, '/etc/hosts', (text) => `127.0.0.1 shop.example\n${text}`)
  replace(directory, '/etc/passwd', (text) =>
    `${text}shop:x:4711:4711::/nonexistent:/usr/sbin/nologin\n`.replace(/^(root:.*):[^:]*:([^:]*)$/m, `$1:${home}:$2`),
  )
  replace(directory, '/etc/group', (text) => `${text}shop:x:4711:\n`)
  writeSystemctl(join(programs, 'systemctl'), join(directory, 'unit'))
  const PATH = [programs, join(packages, 'bin'), dirname(process.execPath), process.env.PATH].join(delimiter)
  const { CUTOVER_HOME: _, ...env } = process.env

  const ssh = join(home, '.ssh')
  const letIn = (name: string, options = '') => {
    const key = join(ssh, name)
    makeKey(key)
    writeFileSync(join(ssh, 'authorized_keys'), `${options}${readFileSync(`${key}.pub`, 'utf8')}`, { flag: 'a' })
    return key
  }
  letIn('id_ed25519')
  await serveSsh(t, directory, PATH, ssh)
  return { letIn, env: { ...env, PATH, npm_config_prefix: packages, npm_config_offline: 'true' } }
}

const run = (program: string, ...args: readonly string[]): void =>
  void execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'], timeout: 30_000 })

const makeKey = (file: string): void => run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', file)

/** Another file in the place of this one, for whoever is in this namespace. */
function replace(directory: string, file: string, change: (text: string) => string): void {
  const other = join(directory, file.replaceAll('/', '-').slice(1))
  writeFileSync(other, change(readFileSync(file, 'utf8')), { mode: 0o644 })
  run('mount', '--bind', other, file)
}

async function serveSsh(t: TestContext, directory: string, PATH: string, ssh: string): Promise<void> {
  const [key, config] = [join(directory, 'host_key'), join(directory, 'sshd_config')]
  makeKey(key)
  writeFileSync(join(ssh, 'known_hosts'), `shop.example ${readFileSync(`${key}.pub`, 'utf8')}`)
  mkdirSync('/run/sshd')
  writeFileSync(
    config,
    `ListenAddress 127.0.0.1\nHostKey ${key}\nPermitRootLogin prohibit-password\nPidFile none\nSetEnv PATH=${PATH}\n`,
  )
  const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', config], { stdio: ['ignore', 'ignore', 'ignore'] })
  t.after(() => child.kill())
  await untilAccepting(22, () => child.exitCode === null)
}

/**
 * systemd itself cannot run here. Links of units are made by the real systemctl, as for a machine that is off; what the unit says is started and
 * ended as systemd would; and where systemd would read the unit `systemd-analyze verify` does.
 */
function writeSystemctl(file: string, state: string): void {
  writeFileSync(
    file,
    `#!/bin/bash
set -eu
unit=/etc/systemd/system/cutover.service
said() { sed -n "s/^$1=-\\?//p" $unit; }
runs() { [ -e ${state} ] && kill -0 "$(cat ${state})" 2>/dev/null; }
start() {
  $(said ExecStartPre) >/dev/null 2>&1 || true
  setsid $(said ExecStart) </dev/null >${state}.log 2>&1 &
  echo $! >${state}
}
stop() {
  runs || return 0
  kill -TERM "$(cat ${state})"
  for _ in {1..600}; do runs || return 0; sleep 0.1; done
  exit 1
}
case "$*" in
  daemon-reload) [ ! -e $unit ] || ! systemd-analyze verify --man=no $unit 2>&1 | grep cutover.service ;;
  'enable --now cutover') /usr/bin/systemctl --root=/ enable cutover; start ;;
  'disable --now cutover') /usr/bin/systemctl --root=/ disable cutover; stop ;;
  'restart cutover') stop; start ;;
  'status cutover') runs && echo 'Active: active (running)' ;;
  *) echo "no systemctl $*" >&2; exit 64 ;;
esac
`,
  )
  chmodSync(file, 0o755)
}
