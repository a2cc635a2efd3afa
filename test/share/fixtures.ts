/** Places on a port without a daemon, and clients that find out which place they got. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { bornIn, isLedBy, killIn, pidsIn } from '../../src/linux/enclosure.ts'
import { identify } from '../../src/linux/process.ts'
import { type Direction, type Group, makeGroup } from '../../src/strategies/share/group.ts'
import { choice, probeAddress } from '../../src/strategies/share/program.ts'
import { maxAlive } from '../../src/strategies/steering.ts'
import { eventually } from '../support/workspace.ts'

export const port = 8080
export const everyPlace = Array.from({ length: maxAlive }, (_, place) => place)

let count = 0

/** A name under which processes of this test are kept together; none is left when it ends, and before that `end` is called. */
export function temporaryMark(t: TestContext, end = () => {}): string {
  const name = `cutover-test-${process.pid}-${++count}`
  t.after(async () => {
    end()
    killIn(name)
    await eventually(() => pidsIn(name).length === 0)
  })
  return name
}

/** Takes the port, until the test ends or the group is destroyed. */
export function groupAt(t: TestContext, address: string | null = null, at = port): Group {
  let group: Group | null = null
  const destroy = () => {
    group?.destroy()
    group = null
  }
  const made = makeGroup({ port: at, address }, `${temporaryMark(t, destroy)}/places/1-${at}`)
  group = made
  return { ...made, destroy }
}

export const to = (active: number, probed: readonly number[] = everyPlace, first = 0): Direction => ({
  at: active,
  first,
  program: choice(active, probed, first),
})

/** All places listen; new connections go to the active one, and each can be probed. */
export function openGroup(t: TestContext, active: number, probed?: readonly number[]): Group {
  const group = groupAt(t)
  group.open(to(active, probed))
  return group
}

/** The places at which such a client waits, to be accepted: one, unless others wait as well. It has gone when this resolves. */
export async function placeOf(
  group: Group,
  client: { readonly host?: string; readonly from?: string } = {},
): Promise<number[]> {
  const before = new Map(group.listeners().map(({ place, waiting }) => [place, waiting]))
  const socket = await connected(client)
  const places = group.listeners().filter(({ place, waiting }) => waiting > (before.get(place) ?? 0))
  socket.destroy()
  return places.map(({ place }) => place)
}

export async function connected({
  host = '127.0.0.1',
  from,
}: {
  readonly host?: string
  readonly from?: string
} = {}): Promise<Socket> {
  const socket = connect({ port, host, ...(from !== undefined && { localAddress: from }) })
  await once(socket, 'connect')
  socket.on('error', () => {})
  return socket
}

/** Where a probe of each place comes out: the place itself, as long as numbers mean what they should. */
export async function probedPlaces(group: Group): Promise<number[]> {
  const found: number[] = []
  for (const place of everyPlace) found.push(...(await placeOf(group, { from: probeAddress(place) })))
  return found
}

/** A process that is there and does nothing, with these descriptors from 3 on, as a release has them. */
export function lodgerIn(name: string, fds: readonly number[] = []): void {
  const child = bornIn(name, (mark) =>
    spawn('sleep', ['60'], { env: mark, detached: true, stdio: ['ignore', 'ignore', 'ignore', ...fds] }),
  )
  child.unref()
  const leader = child.pid === undefined ? null : identify(child.pid)
  if (leader === null) throw new Error('sleep did not start')
  isLedBy(name, leader)
}
