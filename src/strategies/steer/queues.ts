/**
 * Do queues move and wake on this kernel? Tried on a port of nobody's, with the program of the groups and maps of its own, so that nothing of a
 * node is touched: connections wait in a listener, it ends, and the heir is to have them; a loop that waits in epoll(7) is to be woken.
 */
import { once } from 'node:events'
import { connect, Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KernelObject } from '../../linux/bpf.ts'
import { createMap } from '../../linux/bpf-map.ts'
import { loadPrograms, readObject } from '../../linux/bpf-object.ts'
import type { Descriptor } from '../../linux/ffi.ts'
import { attachGroupProgram, bind, boundPort, listen, sharePort, shutDown, tcpSocket } from '../../linux/sockets.ts'
import type { Maps } from './kernel.ts'
import { portKey, portValue, u32 } from './layout.ts'
import { enter } from './listeners.ts'
import { ownObjects } from './objects.ts'

export interface Queues {
  /** How many connections waited in the listener that ended, and how many of them its heir had in the end. */
  readonly waiting: number
  readonly moved: number
  /** They came by themselves; else only when another connection was made to the heir. */
  readonly woken: boolean
}

const address = '127.0.0.1'
const waiting = 8
const lookMs = 15
/** So many looks, and nobody was woken. */
const wakeLooks = 10
/** So many, and it does not come at all; a kernel that does not move queues refuses at once. */
const mostLooks = 60
const app = 1
const [dark, active] = [1, 2]

/**
 * Some 50 ms; where queues move and do not wake, 150 more.
 * @param attach what gives a group its program: a test may leave it out
 * @throws SystemError if the kernel refuses something, or an Error if no connection can be made over loopback
 */
export async function tryQueues(attach = attachGroupProgram): Promise<Queues> {
  await using owned = new AsyncDisposableStack()
  const { maps, group } = loadGroup(owned)
  const left = owned.use(listening(0))
  const port = boundPort(left)
  const clients = Array.from({ length: waiting }, () => clientOf(port, owned))
  if (!(await within(Promise.all(clients.map((client) => once(client, 'connect'))), mostLooks)))
    throw new Error(`no connection could be made to ${address}, port ${port}`)

  const heir = listening(port)
  serve(heir, owned)
  // Without a choice half of them would go there.
  const other = owned.use(listening(port))
  enter(maps, { ref: { app, release: active }, port, n: 0 }, heir)
  enter(maps, { ref: { app, release: dark }, port, n: 0 }, other)
  // `struct word`: nobody stands by, nothing is held.
  maps.apps.set(u32(app), u32(active, 0))
  maps.ports.set(portKey(port), portValue(app, true))
  attach(other, group)

  let moved = 0
  const fates = Promise.all(
    clients.map(async (client) => {
      if (await isAnswered(client)) moved++
    }),
  )
  shutDown(left)
  const inTime = await within(fates, wakeLooks)
  const woken = inTime && moved === waiting
  if (!inTime) {
    clientOf(port, owned)
    await within(fates, mostLooks)
  }
  return { waiting, moved, woken }
}

type OwnMaps = Pick<Maps, 'places' | 'owners' | 'seats' | 'apps' | 'ports'>

/** The program with maps that no other has. */
function loadGroup(owned: AsyncDisposableStack): { readonly maps: OwnMaps; readonly group: KernelObject } {
  const object = readObject(new URL('group.o', ownObjects))
  const used = new Set(
    object.programs.flatMap(({ references }) => references.flatMap((one) => (one.to === 'map' ? [one.map] : []))),
  )
  const maps = Object.fromEntries(
    [...used].map((name) => {
      const definition = object.maps[name]
      if (definition === undefined) throw new Error(`bpf/maps.h does not describe the map ${name}`)
      return [name, owned.use(createMap(definition, name))]
    }),
  )
  const loaded = loadPrograms(object, maps).group
  if (loaded === undefined) throw new Error('there is no program group')
  return { maps: maps as OwnMaps, group: owned.use(loaded.program) }
}

/** @param port 0: one that nobody has */
function listening(port: number): Descriptor {
  const socket = tcpSocket('ipv4')
  try {
    sharePort(socket)
    bind(socket, { family: 'ipv4', address, port })
    listen(socket, 2 * waiting)
    return socket
  } catch (error) {
    socket[Symbol.dispose]()
    throw error
  }
}

/** Answers whoever asks, from this process's own loop, which waits in epoll(7) for it. */
function serve(listener: Descriptor, owned: AsyncDisposableStack): void {
  const server = new Server((socket) => {
    socket.on('error', () => socket.destroy())
    socket.once('data', () => socket.end('!'))
    owned.defer(() => void socket.destroy())
  })
  owned.defer(() => void server.close())
  // It was to take nothing, which is seen.
  server.on('error', () => {})
  server.listen({ fd: listener.release() })
}

/** Asks as soon as it is connected. */
function clientOf(port: number, owned: AsyncDisposableStack): Socket {
  const client = connect({ port, host: address })
  owned.defer(() => void client.destroy())
  client.on('error', () => client.destroy())
  client.write('?')
  return client
}

const isAnswered = (client: Socket): Promise<boolean> =>
  new Promise((resolve) => {
    client.once('data', () => resolve(true))
    client.once('close', () => resolve(false))
  })

/** Looks again and again instead of once: a process that had no turn for a while has not waited for anything. */
async function within(promise: Promise<unknown>, looks: number): Promise<boolean> {
  let kept = false
  promise.then(
    () => {
      kept = true
    },
    () => {},
  )
  for (let look = 0; look < looks && !kept; look++)
    await Promise.race([promise, sleep(lookMs, undefined, { ref: false })])
  return kept
}
