/**
 * Holders: processes without any logic that only sleep and have inherited sockets, so that these outlive the daemon. The next daemon takes
 * copies from them. A holder that is killed is replaced, and costs nothing as long as the daemon has its copies.
 */
import { spawn } from 'node:child_process'
import type { Pid } from '../core/words.ts'
import { bornIn, createEnclosure, pidsIn } from '../linux/enclosure.ts'
import type { Descriptor } from '../linux/ffi.ts'
import {
  copyDescriptor,
  type ExitWatch,
  identify,
  isAlive,
  type ProcessIdentity,
  sendSignal,
  watchExit,
} from '../linux/process.ts'
import { sleeper } from '../linux/sleeper.ts'
import { isListening, shutDown, socketCookie } from '../linux/sockets.ts'

/** Disposing it closes this process's copies; the holder keeps the sockets. */
export interface Held extends Disposable {
  /** At least one. */
  readonly sockets: readonly [Descriptor, ...Descriptor[]]
  /** Of the first socket. */
  readonly cookie: bigint
  /** Ends the sockets, for every copy of them, and their holder. What waits in one goes to its heir. */
  letGo(): void
}

/** Where a holder has its sockets: the descriptors after the usual three. */
const heldFrom = 3

/** Starts a process in the cgroup, or what stands in for one, that keeps the sockets. They are this one's to close from then on. */
export const hold = (sockets: Held['sockets'], cgroup: string): Held =>
  keep(sockets, startHolder(sockets, cgroup), cgroup)

/** What the holders there keep. */
export const findHeld = (cgroup: string): Held[] =>
  pidsIn(cgroup).flatMap((pid) => {
    const holder = identify(pid)
    const [first, ...more] = holder === null ? [] : copiesOf(pid)
    return holder === null || first === undefined ? [] : [keep([first, ...more], holder, cgroup)]
  })

function copiesOf(pid: Pid): Descriptor[] {
  const copies: Descriptor[] = []
  for (let fd = heldFrom; ; fd++) {
    const copy = copyDescriptor(pid, fd)
    if (copy === null) return copies
    copies.push(copy)
  }
}

function keep(sockets: Held['sockets'], first: ProcessIdentity, cgroup: string): Held {
  let holder = first
  let watch: ExitWatch
  let again: NodeJS.Timeout | undefined
  const replace = () => {
    try {
      holder = startHolder(sockets, cgroup)
      watchHolder()
    } catch {
      // There may be too many processes now. Nothing is lost as long as this process lives.
      again = setTimeout(replace, againMs).unref()
    }
  }
  const watchHolder = () => {
    watch = watchExit(holder, replace)
    watch.unref()
  }
  watchHolder()
  const leave = () => {
    watch[Symbol.dispose]()
    clearTimeout(again)
    for (const socket of sockets) socket[Symbol.dispose]()
  }
  return {
    sockets,
    cookie: socketCookie(sockets[0]),
    letGo: () => {
      // A close alone ends nothing while the holder, killed a moment later, has the last copy.
      for (const socket of sockets) endQuietly(socket)
      leave()
      if (isAlive(holder)) sendSignal(holder, 'SIGKILL')
    },
    [Symbol.dispose]: leave,
  }
}

const againMs = 1000

/** One that listens no longer, as all of an app that is stopped, cannot be shut down. */
function endQuietly(socket: Descriptor): void {
  if (isListening(socket)) shutDown(socket)
}

/** @throws Error if it could not be started */
function startHolder(sockets: Held['sockets'], cgroup: string): ProcessIdentity {
  createEnclosure(cgroup)
  const [file, args] = sleeper('infinity')
  const child = bornIn(cgroup, (mark) =>
    spawn(file, args, {
      cwd: '/',
      detached: true,
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', ...mark },
      stdio: ['ignore', 'ignore', 'ignore', ...sockets.map(({ fd }) => fd)],
    }),
  )
  child.unref()
  // Without a pid it did not start, which is told below.
  child.on('error', () => {})
  const holder = child.pid === undefined ? null : identify(child.pid)
  if (holder === null) throw new Error('sleep (coreutils) could not be started to hold the port')
  return holder
}
