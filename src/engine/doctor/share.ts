/** What the strategy `share` cannot do without: no privilege, but a kernel that allows it. */
import { spawnSync } from 'node:child_process'
import type { DoctorCheck } from '../../core/documents.ts'
import { copyDescriptor, identify, sendSignal } from '../../linux/process.ts'
import { sleeper } from '../../linux/sleeper.ts'
import { attachClassicProgram, bind, boundEndpoint, listen, sharePort, tcpSocket } from '../../linux/sockets.ts'
import { choice } from '../../strategies/share/program.ts'
import { tried } from './check.ts'

export const needsOfShare = (): DoctorCheck[] => [
  tried('shared port', 'The kernel has to be Linux 4.5 or later.', shareOne),
  tried(
    'kept sockets',
    'A daemon that is started anew could not take over its ports: set kernel.yama.ptrace_scope to 0 or, with perl installed, to 1; or run the daemon as root.',
    copyFromStranger,
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

/** What a next daemon does with the holders of the one before, which are not its children. */
function copyFromStranger(): string {
  using socket = tcpSocket('ipv4')
  const [file, args] = sleeper('5')
  const { stdout } = spawnSync('/bin/sh', ['-c', strangerAsleep, 'sh', file, ...args], {
    stdio: ['ignore', 'pipe', 'ignore', socket.fd],
    timeout: 2000,
  })
  const stranger = identify(Number(stdout))
  if (stranger === null) throw new Error('sleep (coreutils) could not be started to hold a socket')
  try {
    using copy = copyDescriptor(stranger.pid, 3)
    if (copy === null) throw new Error('the socket of another process was not found')
    return 'sockets can be copied from another process'
  } finally {
    sendSignal(stranger, 'SIGKILL')
  }
}

const strangerAsleep =
  '"$@" > /dev/null & until read -r name < /proc/$!/comm && [ "$name" = sleep ]; do :; done; echo $!'
