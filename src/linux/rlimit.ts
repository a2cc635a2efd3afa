/** Resource limits of this process. See prlimit(2). */
import { syscall } from './ffi.ts'

const resources = { NOFILE: 7 } as const

export type Resource = keyof typeof resources

export interface Limit {
  readonly soft: bigint
  readonly hard: bigint
}

export function limitOf(resource: Resource): Limit {
  const old = Buffer.alloc(16)
  syscall('prlimit64', 0, resources[resource], null, old)
  return { soft: old.readBigUInt64LE(0), hard: old.readBigUInt64LE(8) }
}

/**
 * Runs `act` with the soft limit lowered to at most `soft`, and sets it back: what `act` starts inherits the lower one. Node raises its own
 * soft limit to the hard one at start-up; programs that use select(2), or size tables by the limit, must not inherit that. `act` must not
 * suspend. Every thread of this process is under the limit meanwhile: a descriptor of that number or above cannot be opened (EMFILE).
 */
export function withSoftLimit<T>(resource: Resource, soft: number, act: () => T): T {
  const before = limitOf(resource)
  set(resource, { soft: smaller(BigInt(soft), before.hard), hard: before.hard })
  try {
    return act()
  } finally {
    set(resource, before)
  }
}

const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b)

function set(resource: Resource, { soft, hard }: Limit): void {
  const limit = Buffer.alloc(16)
  limit.writeBigUInt64LE(soft, 0)
  limit.writeBigUInt64LE(hard, 8)
  syscall('prlimit64', 0, resources[resource], limit, null)
}
