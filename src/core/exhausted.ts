/** What the machine, or a limit of the daemon, has nothing left of. */

const words: Readonly<Record<string, string>> = {
  EMFILE: 'the daemon has no file descriptor left: all that its limit allows are in use (RLIMIT_NOFILE)',
  ENFILE: 'the machine has no file descriptor left (sysctl fs.file-max)',
  ENOMEM: 'there is no memory left',
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the disk quota is used up',
}

const noProcess = 'there are too many processes: a limit of the user or of the cgroup is reached (ulimit -u, pids.max)'

/** The same in words for people, if that is why something failed: of what nothing is left. Null if it failed for another reason. */
export function exhausted(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  // Some errors of Node's file system have only the C library's words.
  const found = words[code] ?? (/: Too many open files\b/.test(error.message) ? words.EMFILE : undefined)
  // Of other calls it says that nothing is there yet.
  if (code === 'EAGAIN' && 'syscall' in error && String(error.syscall).startsWith('spawn')) return noProcess
  return found ?? exhausted(error.cause)
}
