/** A machine in qemu with a kernel of its own, whose root is this machine's file system under a layer that goes with it. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Scope } from '../../bench/figures.ts'

/** Runs the commands there one after another, what they print going to stdout. Resolves with 0 if all did, else with 1. */
export async function boot(scope: Scope, unpacked: string, commands: readonly string[]): Promise<number> {
  const [kernel = ''] = globSync('boot/vmlinuz-*', { cwd: unpacked })
  const machine = spawn(
    'qemu-system-x86_64',
    [
      ...[
        '-machine',
        'accel=kvm:tcg',
        '-cpu',
        'max',
        '-smp',
        '2',
        '-m',
        '4G',
        '-nic',
        'none',
        '-no-reboot',
        '-nographic',
      ],
      ...['-kernel', join(unpacked, kernel), '-initrd', firstSteps(unpacked, commands)],
      ...['-append', 'console=ttyS0 quiet panic=-1'],
      ...['-virtfs', 'local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  scope.after(() => void machine.kill('SIGKILL'))
  const exited = once(machine, 'exit')
  const late = setTimeout(() => machine.kill('SIGKILL'), mostMs)
  const codes: string[] = []
  for await (const line of createInterface(machine.stdout)) {
    if (line.startsWith(exitLine)) codes.push(line.slice(exitLine.length).trim())
    else console.log(line)
  }
  await exited
  clearTimeout(late)
  return codes.length === commands.length && codes.every((code) => code === '0') ? 0 : 1
}

const mostMs = 90 * 60_000
const exitLine = 'ended with '

/** What it takes to reach a disk of this kind, drivers and the file systems of both layers, and what elsewhere the kernel loads at need. */
const wanted = ['virtio_pci', '9pnet_virtio', '9p', 'overlay', 'tcp_diag', 'tun', 'veth', 'dummy', 'loop']

/** The first file system, from which the machine goes over to its root. */
function firstSteps(unpacked: string, commands: readonly string[]): string {
  const first = join(unpacked, 'first')
  for (const name of ['bin', 'modules', 'dev', 'proc', 'below', 'above', 'root'])
    mkdirSync(join(first, name), { recursive: true })
  const busybox = join(first, 'bin/busybox')
  copyFileSync(join(unpacked, 'bin/busybox'), busybox)
  for (const [at, module] of inOrder(unpacked).entries())
    writeFileSync(join(first, 'modules', `${String(at).padStart(2, '0')}.ko`), module)
  writeFileSync(join(first, 'init'), init(commands))
  chmodSync(join(first, 'init'), 0o755)
  const archive = join(unpacked, 'first.cpio')
  execFileSync('/bin/sh', ['-c', 'find . | "$0" cpio -o -H newc > "$1"', busybox, archive], { cwd: first })
  return archive
}

/** The modules, each after those that it needs. A kernel that has one built in has no file of it. */
function inOrder(unpacked: string): Buffer[] {
  const files = new Map(
    globSync('lib/modules/**/*.ko{,.xz}', { cwd: unpacked }).map((file) => [
      basename(file)
        .replace(/\.ko(\.xz)?$/, '')
        .replaceAll('-', '_'),
      join(unpacked, file),
    ]),
  )
  const found = new Map<string, Buffer>()
  const add = (name: string): void => {
    const file = files.get(name)
    if (file === undefined || found.has(name)) return
    const content = file.endsWith('.xz')
      ? execFileSync('xz', ['-dc', file], { maxBuffer: 1 << 28 })
      : readFileSync(file)
    const [, needs = ''] = /\0depends=([^\0]*)\0/.exec(content.toString('latin1')) ?? []
    for (const needed of needs.split(',')) add(needed.replaceAll('-', '_'))
    found.set(name, content)
  }
  for (const name of wanted) add(name)
  return [...found.values()]
}

const init = (commands: readonly string[]) => `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in /modules/*; do /bin/busybox insmod $module; done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro root /below
/bin/busybox mount -t tmpfs above /above
/bin/busybox mkdir /above/upper /above/work
/bin/busybox mount -t overlay -o lowerdir=/below,upperdir=/above/upper,workdir=/above/work root /root
for at in dev:devtmpfs proc:proc sys:sysfs run:tmpfs sys/fs/cgroup:cgroup2 sys/fs/bpf:bpf; do
  /bin/busybox mount -t \${at#*:} \${at#*:} /root/\${at%:*}
done
/bin/busybox chroot /root /bin/sh -c 'ip link set lo up; sysctl -qw kernel.yama.ptrace_scope=1; uname -sr'
${commands.map((command) => `/bin/busybox chroot /root /bin/sh -c '${command.replaceAll("'", `'\\''`)}'; echo "${exitLine}$?"`).join('\n')}
/bin/busybox poweroff -f
`
