/** Whose port is whose. Declared ones belong to an app for good, others while a release of it listens there. */
import { refusal } from '../../core/errors.ts'
import type { AppId } from '../../core/words.ts'
import { SystemError } from '../../linux/ffi.ts'
import type { AppPort } from '../steering.ts'
import type { Maps } from './kernel.ts'
import { ownerOfPort, portKey, portOfKey, portValue } from './layout.ts'
import { listenersFor } from './listeners.ts'
import { livingOf } from './living.ts'

/** The app's ports, lowest first. */
export const portsOf = (maps: Maps, app: AppId): AppPort[] =>
  maps.ports
    .keys()
    .flatMap((key) => {
      const value = maps.ports.get(key)
      const owner = value && ownerOfPort(value)
      return owner?.app === app ? [{ port: portOfKey(key), declared: owner.declared }] : []
    })
    .toSorted((a, b) => a.port - b.port)

/** The apps that have a port, each once. */
export const ownersOf = (maps: Maps): AppId[] => [
  ...new Set(
    maps.ports.keys().flatMap((key) => {
      const value = maps.ports.get(key)
      return value === null ? [] : [ownerOfPort(value).app]
    }),
  ),
]

/**
 * Makes these the app's declared ports. Others that it declared before stay its own where a release listens there.
 * @returns the ports that are nobody's from now on, still to be given back
 * @throws CutoverError `refused` if another app has one; then nothing was changed
 */
export function declarePorts(maps: Maps, app: AppId, ports: readonly number[]): number[] {
  for (const port of ports) {
    const owner = maps.ports.get(portKey(port))
    if (owner !== null && ownerOfPort(owner).app !== app)
      throw refusal(`Port ${port} belongs to another app of this node.`)
  }
  try {
    for (const port of ports) maps.ports.set(portKey(port), portValue(app, true))
  } catch (error) {
    if (!(error instanceof SystemError && error.code === 'E2BIG')) throw error
    throw refusal(
      'The kernel has no room for another port: an app of this node listens on thousands. Which one: cutover status --json',
    )
  }
  const former = portsOf(maps, app).filter(({ port }) => !ports.includes(port))
  const listened = listenedPorts(maps, app)
  for (const { port, declared } of former) {
    if (declared && listened.has(port)) maps.ports.set(portKey(port), portValue(app, false))
  }
  return former.flatMap(({ port }) => (listened.has(port) ? [] : [port]))
}

/** Ports that nobody declares and on which no release listens any more. */
export function leftPorts(maps: Maps, app: AppId): number[] {
  const listened = listenedPorts(maps, app)
  return portsOf(maps, app).flatMap(({ port, declared }) => (declared || listened.has(port) ? [] : [port]))
}

const listenedPorts = (maps: Maps, app: AppId): Set<number> =>
  new Set(livingOf(maps, app).flatMap((release) => listenersFor(maps, { app, release }).map(({ port }) => port)))
