/** What the strategy `share` cannot do without: no privilege, but a kernel that allows it. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { DoctorCheck } from '../../core/documents.ts'
import { copyDescriptor } from '../../linux/process.ts'
import { attachClassicProgram, bind, boundEndpoint, listen, sharePort, tcpSocket } from '../../linux/sockets.ts'
import { choice } from '../../strategies/share/program.ts'
import { tried } from './check.ts'

export const needsOfShare = (): DoctorCheck[] => [
  tried('shared port', 'The kernel has to be Linux 4.5 or later.', shareOne),
  tried(
    'kept sockets',
    'A daemon that is started anew could not take over its ports: set kernel.yama.ptrace_scope to 0, or run the daemon as root.',
    copyFromChild,
  ),
]

/** On a port of loopback that the kernel chooses. */
function shareOne(): string {
  using socket = tcpSocket('ipv4')
  sharePort(socket)
  bind(socket, { family: 'ipv4', address: '127.0.0.1', port: 0 })
  listen(socket, 1)
  attachClassicProgram(socket, choice(0, [0]))
  return `a program chose among the sockets of port ${boundEndpoint(socket).port} of 127.0.0.1`
}

/** See the kernel's admin-guide/LSM/Yama. */
const yama = '/proc/sys/kernel/yama/ptrace_scope'

/** What a next daemon does with the holders of the one before, which are not its children. */
function copyFromChild(): string {
  const scope = existsSync(yama) ? Number(readFileSync(yama, 'utf8')) : 0
  if (scope > 0 && process.geteuid?.() !== 0)
    throw new Error('only the parent of a process may copy its sockets here (Yama)')
  using socket = tcpSocket('ipv4')
  const child = spawn('sleep', ['5'], { stdio: ['ignore', 'ignore', 'ignore', socket.fd] })
  try {
    using copy = copyDescriptor(child.pid ?? 0, 3)
    if (copy === null) throw new Error('the socket of another process was not found')
    return 'sockets can be copied from another process'
  } finally {
    child.kill('SIGKILL')
  }
}
