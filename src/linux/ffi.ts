/**
 * The way to the kernel: raw system calls through the C library's `syscall(2)`. Everything else in this folder is built on it.
 * Not variadic on purpose, so that one prepared call serves all: 145 ns each.
 */
import { constants } from 'node:os'
import koffi from 'koffi'

const libc = koffi.load(null)
const raw = libc.func('long syscall(long, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t)')

/** What a system call may take: a number, a pointer as a bigint, a buffer whose address is meant, or null for NULL. */
export type Argument = number | bigint | Uint8Array | null

/** Where two names have one number the first in the alphabet stands: EAGAIN. */
const errorNames: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno)
    .toSorted(([a], [b]) => b.localeCompare(a))
    .map(([name, number]) => [number, name]),
)

/** A system call failed. `code` is the errno's name, as in `ENOENT`; the message names the call. See errno(3). */
export class SystemError extends Error {
  readonly call: string
  readonly code: string
  readonly errno: number

  constructor(call: string, errno: number, detail = '') {
    const code = errorNames.get(errno) ?? `errno ${errno}`
    super(`${call}: ${code}${detail && `: ${detail}`}`)
    this.name = 'SystemError'
    this.call = call
    this.code = code
    this.errno = errno
  }
}

/** Numbers of the calls that Node does not offer, per architecture (asm/unistd.h; arm64 uses asm-generic/unistd.h). */
const numbers = {
  x64: {
    close: 3,
    madvise: 28,
    lseek: 8,
    ioctl: 16,
    socket: 41,
    connect: 42,
    sendto: 44,
    recvfrom: 45,
    shutdown: 48,
    bind: 49,
    listen: 50,
    getsockname: 51,
    setsockopt: 54,
    getsockopt: 55,
    flock: 73,
    fallocate: 285,
    fcntl: 72,
    dup3: 292,
    accept4: 288,
    mount: 165,
    umount2: 166,
    prlimit64: 302,
    bpf: 321,
    pidfd_send_signal: 424,
    pidfd_open: 434,
    pidfd_getfd: 438,
  },
  arm64: {
    close: 57,
    madvise: 233,
    lseek: 62,
    ioctl: 29,
    socket: 198,
    connect: 203,
    sendto: 206,
    recvfrom: 207,
    shutdown: 210,
    bind: 200,
    listen: 201,
    getsockname: 204,
    setsockopt: 208,
    getsockopt: 209,
    flock: 32,
    fallocate: 47,
    fcntl: 25,
    dup3: 24,
    accept4: 242,
    mount: 40,
    umount2: 39,
    prlimit64: 261,
    bpf: 280,
    pidfd_send_signal: 424,
    pidfd_open: 434,
    pidfd_getfd: 438,
  },
} as const

export type Call = keyof typeof numbers.x64

const table: Readonly<Record<Call, number>> = process.arch === 'arm64' ? numbers.arm64 : numbers.x64

/** The address of a buffer's first byte. It stays valid for as long as the buffer is referenced. */
export const address = (bytes: Uint8Array): bigint => koffi.address(bytes)

const word = (value: Argument): number | bigint =>
  value === null ? 0 : value instanceof Uint8Array ? address(value) : value

/**
 * Makes a system call and returns its result, or the negated errno. For the calls whose failures are part of ordinary work
 * (ENOENT of a map, EAGAIN of a socket). Never suspends: only calls that cannot block belong here.
 */
export function attempt(
  call: Call,
  a: Argument = 0,
  b: Argument = 0,
  c: Argument = 0,
  d: Argument = 0,
  e: Argument = 0,
  f: Argument = 0,
): number {
  const result: number = raw(table[call], word(a), word(b), word(c), word(d), word(e), word(f))
  return result === -1 ? -koffi.errno() : result
}

/** Makes a system call; throws {@link SystemError} if it fails. */
export function syscall(
  call: Call,
  ...args: [Argument?, Argument?, Argument?, Argument?, Argument?, Argument?]
): number {
  const result = attempt(call, ...args)
  if (result < 0) throw new SystemError(call, -result)
  return result
}

/** A file descriptor that closes at the end of its scope (`using fd = …`), or by hand. */
export class Descriptor implements Disposable {
  readonly fd: number
  #open = true

  constructor(fd: number) {
    this.fd = fd
  }

  /** Closes the descriptor; a second call does nothing. */
  [Symbol.dispose](): void {
    if (!this.#open) return
    this.#open = false
    attempt('close', this.fd)
  }

  /** Gives the number away: whoever takes it closes it. */
  release(): number {
    this.#open = false
    return this.fd
  }
}
