/** A program that only sleeps, and keeps what it has inherited for whoever comes and takes copies. */
import { existsSync } from 'node:fs'
import process from 'node:process'

/**
 * How it is started, to sleep for so long (sleep(1)): file and arguments. Whoever could copy its descriptors, as the same user, may do so though he is
 * not its parent: where Yama may forbid that, the process first allows it for itself, which lasts beyond its execve(2). It takes perl, which is
 * part of the base system where Yama is switched on from the start. See pidfd_getfd(2), PR_SET_PTRACER, the kernel's admin-guide/LSM/Yama.
 */
export const sleeper = (time: string): readonly [string, readonly string[]] =>
  mayBeAllowed()
    ? ['/bin/sh', ['-c', 'command -v perl > /dev/null && exec perl -e "$0" "$@"; exec "$@"', allow, 'sleep', time]]
    : ['sleep', [time]]

/** Root needs nobody's permission. What Yama forbids may change at any time. */
const mayBeAllowed = (): boolean => process.geteuid?.() !== 0 && existsSync('/proc/sys/kernel/yama')

const prctl = process.arch === 'arm64' ? 167 : 157
const [setTracer, anybody] = [0x59616d61, -1]
const allow = `syscall(${prctl}, ${setTracer}, ${anybody}, 0, 0, 0); exec @ARGV`
