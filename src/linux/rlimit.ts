/** Resource limits of this process. See prlimit(2). */
import { syscall } from './ffi.ts'

const resources = { NOFILE: 7 } as const

export type Resource = keyof typeof resources

export interface Limit {
  readonly soft: bigint
  readonly hard: bigint
}

export function limitOf(resource: Resource): Limit {
  return exchange(resource, null)
}

/**
 * Runs `act` with the soft limit at `soft`, or at the hard one where that is lower, and sets it back: what `act` starts inherits it. Node raises its own
 * soft limit to the hard one at start-up; programs that use select(2), or size tables by the limit, must not inherit that. `act` must not
 * suspend. Every thread of this process is under the limit meanwhile: a descriptor of that number or above cannot be opened (EMFILE).
 * A limit that somebody else sets meanwhile, as prlimit(1) can at any moment, stays.
 */
export function withSoftLimit<T>(resource: Resource, soft: number, act: () => T): T {
  const { hard } = limitOf(resource)
  const meanwhile = { soft: smaller(BigInt(soft), hard), hard }
  const before = exchange(resource, meanwhile)
  try {
    return act()
  } finally {
    const found = exchange(resource, before)
    if (found.soft !== meanwhile.soft || found.hard !== meanwhile.hard) exchange(resource, found)
  }
}

const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b)

/** Sets the limit, if there is one to set, and returns the former one in the same step. */
function exchange(resource: Resource, limit: Limit | null): Limit {
  const old = Buffer.alloc(16)
  syscall('prlimit64', 0, resources[resource], limit && bytesOf(limit), old)
  return { soft: old.readBigUInt64LE(0), hard: old.readBigUInt64LE(8) }
}

function bytesOf({ soft, hard }: Limit): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeBigUInt64LE(soft, 0)
  bytes.writeBigUInt64LE(hard, 8)
  return bytes
}
