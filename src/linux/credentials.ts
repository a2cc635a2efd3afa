/** Starting programs as another user. See credentials(7), capabilities(7). */
import process from 'node:process'
import koffi from 'koffi'
import { address, SystemError } from './ffi.ts'

export interface Credentials {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups, as initgroups(3) sets them. */
  readonly groups: readonly number[]
}

/**
 * Runs `act` (as root), which spawns a program with the options that it gets, and no `gid`: from before its execve(2) on the program has
 * exactly these credentials and no capability, so nothing that it is given is ever seen by a process with more rights. With null it has our
 * own. `act` must not suspend.
 *
 * Node's own options give up every supplementary group, and process.setgroups() would change all threads, in the middle of whatever they
 * write. The kernel keeps credentials per thread, and a child has those of the thread that forked it. So this thread alone takes the gid and
 * the groups; the option `uid` does the rest, in the child. There libuv first empties the groups, where it can: this thread is without
 * CAP_SETGID meanwhile, and libuv ignores that it fails. The thread's uids stay root's, so the user may neither signal nor trace it.
 * @throws SystemError EPERM without the right to, as in a user namespace that denies setgroups(2); nothing has changed then.
 */
export function withCredentials<T>(credentials: Credentials | null, act: (options: { uid?: number }) => T): T {
  if (credentials === null) return act({})
  const { uid, gid, groups } = credentials
  using before = new DisposableStack()
  before.defer(keepAttributes())
  before.defer(takeGroups(groups))
  before.defer(takeGid(gid))
  before.defer(dropCapability(setgidCapability))
  return act({ uid })
}

const libc = koffi.load(null)

/** Those of the C library speak for all threads; the kernel's for the calling one. In the order getgroups, setgroups, setresgid. */
const raw = libc.func('long syscall(long, int64_t, int64_t, int64_t)')
const [getgroups, setgroups, setresgid] = process.arch === 'arm64' ? [158, 159, 149] : [115, 116, 119]

function takeGroups(groups: readonly number[]): () => void {
  const before = new Uint32Array(check('getgroups', raw(getgroups, 0, 0, 0)))
  check('getgroups', raw(getgroups, before.length, address(bytes(before)), 0))
  const set = (list: Uint32Array) =>
    check('setgroups', raw(setgroups, list.length, list.length && address(bytes(list)), 0))
  set(Uint32Array.from(groups))
  return () => set(before)
}

/** The saved gid stays: execve(2) overwrites it by the effective one. */
function takeGid(gid: number): () => void {
  const [real, effective] = [process.getgid?.() ?? 0, process.getegid?.() ?? 0]
  check('setresgid', raw(setresgid, gid, gid, -1))
  return () => check('setresgid', raw(setresgid, real, effective, -1))
}

const capget = libc.func('int capget(void *, void *)')
const capset = libc.func('int capset(void *, void *)')
const capabilityVersion = 0x20080522
const setgidCapability = 6

/** Takes one of the first 32 capabilities out of the thread's effective set; it stays a permitted one. See capset(2). */
function dropCapability(capability: number): () => void {
  const thread = Uint32Array.of(capabilityVersion, 0)
  const sets = new Uint32Array(6)
  check('capget', capget(thread, sets))
  const lowered = sets.with(0, (sets[0] ?? 0) & ~(1 << capability))
  check('capset', capset(thread, lowered))
  return () => check('capset', capset(thread, sets))
}

const prctl = libc.func('int prctl(int, uint64_t, uint64_t, uint64_t, uint64_t)')
const [setDeathSignal, getDeathSignal, getDumpable, setDumpable] = [1, 2, 3, 4]

/** Any change of the effective gid resets two attributes, which are set anew by what this returns. See PR_SET_DUMPABLE, PR_SET_PDEATHSIG. */
function keepAttributes(): () => void {
  const signal = new Int32Array(1)
  check('prctl', prctl(getDeathSignal, address(bytes(signal)), 0, 0, 0))
  const dumpable: number = check('prctl', prctl(getDumpable, 0, 0, 0, 0))
  return () => {
    // 2 can only be the kernel's own choice (fs.suid_dumpable), and has been made again.
    if (dumpable === 1) check('prctl', prctl(setDumpable, 1, 0, 0, 0))
    check('prctl', prctl(setDeathSignal, signal[0] ?? 0, 0, 0, 0))
  }
}

const bytes = (array: Uint32Array | Int32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

/** To be called with the result of the call that was made last: errno is that one's. */
function check(call: string, result: number): number {
  if (result === -1) throw new SystemError(call, koffi.errno())
  return result
}
