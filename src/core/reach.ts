/** Where a release can be reached: what of its declared addresses it cannot serve, and whose queues cannot move. Pure, in words for people. */
import { anyAddress, endpointText, isAnyAddress } from './address.ts'
import type { PortSpec } from './words.ts'

/** How a socket listens. */
export interface Standing {
  readonly port: number
  readonly family: 'ipv4' | 'ipv6'
  readonly address: string
  readonly v6only: boolean
  /** Index of the interface that it is bound to; 0: any. */
  readonly device: number
}

type Family = 'IPv4' | 'IPv6'

/** `127.0.0.1:80, [::1]:80`, each once. */
export const standingText = (standings: readonly Standing[]): string =>
  [...new Set(standings.map(({ address, port }) => endpointText(address, port)))].join(', ')

/** Clients of a declared address that find nobody. */
export interface Unserved {
  /** None at all can be served there. */
  readonly entirely: boolean
  readonly text: string
}

/**
 * What of the addresses that are declared cannot be served by what listens: the kernel gives no IPv6 client to an IPv4 socket, and a socket that
 * is bound to an interface has clients from there only.
 */
export function unserved(ports: readonly PortSpec[], listeners: readonly Standing[]): Unserved[] {
  return ports.flatMap((spec) => {
    const own = listeners.filter(({ port }) => port === spec.port)
    return spec.address === null || own.length === 0 ? [] : unservedAt(spec.port, spec.address, own)
  })
}

function unservedAt(port: number, address: string, own: readonly Standing[]): Unserved[] {
  const wanted: Family[] = address === anyAddress ? ['IPv4', 'IPv6'] : [address.includes(':') ? 'IPv6' : 'IPv4']
  const missing = wanted.filter((family) => !own.some((one) => familiesOf(one).has(family)))
  const where = endpointText(address, port)
  const listens = `it listens on ${standingText(own)}`
  if (missing.length > 0) {
    const entirely = missing.length === wanted.length
    const how = entirely ? '' : ` over ${missing.join()}`
    const other = missing.includes('IPv4') ? 'IPv6' : 'IPv4'
    return [{ entirely, text: `${where} cannot be served${how}: ${listens}, which takes ${other} only` }]
  }
  if (own.every(({ device }) => device !== 0))
    return [
      { entirely: false, text: `${where} is served over one interface only, to which its socket is bound: ${listens}` },
    ]
  return []
}

/** What waits in the queue of a release that was left can go to another only where both listen alike: they are one group of the kernel then. */
export const notShared = (left: readonly Standing[], next: readonly Standing[]): Standing[] =>
  left.filter((one) => !next.some((other) => isSameStanding(one, other)))

/** The same where the other has the port at all: whoever deploys may not know of it. */
export const unmovable = (left: readonly Standing[], next: readonly Standing[]): Standing[] =>
  notShared(left, next).filter((one) => next.some(({ port }) => port === one.port))

/** Is this the address of a connection, or of one that is being made, which came by a socket that listens so? */
export const isOf = (one: Standing, local: Pick<Standing, 'port' | 'family' | 'address'>): boolean =>
  one.port === local.port && one.family === local.family && (isAnyAddress(one.address) || one.address === local.address)

/** Do both stand at the same address of the same port? */
export const isSameStanding = (a: Standing, b: Standing): boolean =>
  a.port === b.port &&
  a.family === b.family &&
  a.address === b.address &&
  a.v6only === b.v6only &&
  a.device === b.device

const familiesOf = ({ family, v6only }: Standing): ReadonlySet<Family> =>
  new Set(family === 'ipv4' ? ['IPv4'] : v6only ? ['IPv6'] : ['IPv4', 'IPv6'])
