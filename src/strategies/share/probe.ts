/** A connection that reaches exactly one release, dark or not: it comes from the address that the group's program knows. */
import { connect, type Socket } from 'node:net'
import { isAnyAddress, plainAddress } from '../../core/address.ts'
import type { Listener } from '../steering.ts'
import { probeAddress } from './program.ts'

/** Whether it was refused, the socket's first event tells. */
export function probe({ address, port, place }: Listener): Socket {
  const host = isAnyAddress(address) ? '127.0.0.1' : plainAddress(address)
  return connect({ host, port, localAddress: probeAddress(place) })
}
