/**
 * The strategy `share`, which takes no privilege: each port has a fixed set of listening sockets, its places. A release is given one when it is
 * started (LISTEN_FDS), and a program of the group names the place that gets new connections. Queues do not move from place to place: what waits
 * at a release that was left is answered by that release.
 */
import { join } from 'node:path'
import { failure, refusal } from '../../core/errors.ts'
import type { AppId, ReleaseNumber } from '../../core/words.ts'
import { isAnyIn } from '../../linux/enclosure.ts'
import { isListening } from '../../linux/sockets.ts'
import { type DeclaredPort, type Listener, maxAlive, type ReleaseRef, type Steering } from '../steering.ts'
import { type Entry, type Lodger, writeBook } from './book.ts'
import { endOthers, entriesOf, groupsOf } from './found.ts'
import { directionOf, type Group, makeGroup } from './group.ts'
import { probe } from './probe.ts'

export interface SharingOptions {
  /** The file that says who has which place. */
  readonly book: string
  /** Cutover's own cgroup, or what stands in for one; its holders are below it. */
  readonly cgroup: string
}

export interface Sharing extends Steering {
  /** Whether the app's ports are shared in this way. */
  has(app: AppId): boolean
}

/** An app as it is now. */
interface Shared {
  ports: DeclaredPort[]
  lodgers: Lodger[]
  active: ReleaseNumber
  at: number
  first: number
  holdMs: number
  readonly groups: Map<number, Group>
  /** Since when nobody accepts where new connections go, on the clock of `performance`. A start alone does not end it. */
  desertedSince: number | null
}

/**
 * Finds the places as an earlier daemon left them.
 * @throws CutoverError `failed` if nobody can tell whose they are; SystemError if those of a holder may not be had
 */
export function openSharing({ book, cgroup }: SharingOptions): Sharing {
  const apps = new Map<AppId, Shared>()
  const save = () =>
    writeBook(
      book,
      [...apps].map(([app, { groups: _, desertedSince: __, ...entry }]) => ({ app, ...entry })),
    )
  const places = join(cgroup, 'places')
  const holdersOf = (app: AppId, port: number) => join(places, `${app}-${port}`)

  const shared = (app: AppId): Shared => {
    const found = apps.get(app)
    if (found === undefined) throw new Error(`app ${app} shares no port`)
    return found
  }
  const lodgerOf = ({ app, release }: ReleaseRef): Lodger | null =>
    apps.get(app)?.lodgers.find((one) => one.release === release) ?? null
  const direct = (app: Shared) => {
    const direction = directionOf(app)
    for (const group of app.groups.values()) group.direct(direction)
  }
  const open = (app: Shared) => {
    // Where nobody listens yet, the place to which clients are to come begins.
    if ([...app.groups.values()].every((group) => group.isShut())) {
      app.first = app.at
      save()
    }
    const direction = directionOf(app)
    for (const group of app.groups.values()) {
      group.open(direction)
      group.direct(direction)
    }
  }
  const mend = (app: Shared) => {
    const direction = directionOf(app)
    for (const group of app.groups.values()) group.mend(direction)
  }
  const waitingAt = ({ groups, at }: Shared): number =>
    [...groups.values()]
      .flatMap((group) => group.listeners())
      .reduce((sum, one) => sum + (one.place === at ? one.waiting : 0), 0)
  /** Nobody accepts where new connections go, although somebody should. */
  const isDeserted = (app: Shared): boolean => {
    const lodger = app.lodgers.find(({ release }) => release === app.active)
    return app.active !== 0 && (lodger === undefined || !isAnyIn(lodger.cgroup))
  }
  const isShut = ({ groups, at }: Shared) => ![...groups.values()].every((group) => isListening(group.socket(at)))
  const shut = (app: Shared) => {
    for (const group of app.groups.values()) group.shut()
  }
  /** Those who wait for the next release do so for as long as `hold` allows, unless it is there to take them by then. */
  const refuseLate = (app: Shared) => {
    setTimeout(() => {
      if (app.active === 0 && !isTaken(app, app.at) && [...apps.values()].includes(app)) shut(app)
    }, app.holdMs).unref()
  }
  const free = (app: Shared, port: number) => {
    app.groups.get(port)?.destroy()
    app.groups.delete(port)
    app.ports = app.ports.filter((one) => one.port !== port)
  }

  for (const entry of entriesOf(book, cgroup)) {
    const groups = groupsOf(entry, holdersOf)
    if (groups === null) continue
    const { app, lodgers, ...more } = entry
    const ports = entry.ports.filter(({ port }) => groups.has(port))
    apps.set(app, { ...more, ports, lodgers: [...lodgers], groups, desertedSince: null })
  }
  // Of one that was stopped, or is being stopped, clients are refused.
  for (const app of apps.values()) {
    if (app.active !== 0 && isShut(app)) open(app)
    // What was written down and not yet so.
    else direct(app)
  }
  endOthers(
    places,
    [...apps].flatMap(([app, { groups }]) => [...groups.keys()].map((port) => holdersOf(app, port))),
  )

  return {
    has: (app) => apps.has(app),
    addApp: (app, { ports, holdMs }) => {
      for (const [other, { groups }] of apps)
        if (other !== app && ports.some((port) => groups.has(port)))
          throw refusal(`Port ${ports.find((port) => groups.has(port))} belongs to another app of this node.`)
      const known: Shared = apps.get(app) ?? {
        ports: [],
        lodgers: [],
        active: 0,
        at: 0,
        first: 0,
        holdMs,
        groups: new Map(),
        desertedSince: null,
      }
      known.holdMs = holdMs
      apps.set(app, known)
      for (const port of [...known.groups.keys()]) if (!ports.includes(port)) free(known, port)
      save()
    },
    removeApp: (app) => {
      for (const group of apps.get(app)?.groups.values() ?? []) group.destroy()
      apps.delete(app)
      save()
    },
    addRelease: (ref, cgroup, ports = []) => {
      const app = shared(ref.app)
      // Where nobody serves, or this one alone did, it takes the place where clients wait: they are its own.
      const waits = app.active === 0 || app.active === ref.release
      const place = waits && !isTaken(app, app.at) ? app.at : freePlace(app)
      if (place === null) throw refusal(`${maxAlive} releases of this app run already; wait until one has retired.`)
      for (const port of ports) {
        const group = app.groups.get(port.port)
        if (group !== undefined) requireSameAddress(app, port)
        else {
          app.groups.set(port.port, makeGroup(port, holdersOf(ref.app, port.port)))
          app.ports.push({ port: port.port, address: port.address })
        }
      }
      app.lodgers = [
        ...app.lodgers.filter(({ release }) => release !== ref.release),
        { release: ref.release, place, ports: ports.map(({ port }) => port), cgroup },
      ]
      if (app.active === 0) app.at = place
      save()
      open(app)
      for (const { port } of ports) app.groups.get(port)?.lend(place)
    },
    reenter: () => {},
    inherited: (ref) => {
      const lodger = lodgerOf(ref)
      if (lodger === null) return []
      const app = shared(ref.app)
      // Whoever was refused because it took too long is not any more.
      mend(app)
      if (isShut(app)) open(app)
      return lodger.ports.map((port) => ({
        fd: (app.groups.get(port) as Group).socket(lodger.place).fd,
        name: String(port),
      }))
    },
    removeRelease: (ref) => {
      const app = apps.get(ref.app)
      const lodger = lodgerOf(ref)
      if (app === undefined || lodger === null) return
      app.lodgers = app.lodgers.filter((one) => one !== lodger)
      save()
      mend(app)
      for (const group of app.groups.values()) if (lodger.place !== app.at) group.closeWaiting(lodger.place)
      direct(app)
    },
    releases: () => [...apps].flatMap(([app, { lodgers }]) => lodgers.map(({ release }) => ({ app, release }))),
    listeners: (ref) => {
      const app = apps.get(ref.app)
      if (app === undefined) return []
      const all = (): Listener[] => [...app.groups.values()].flatMap((group) => group.listeners())
      if (ref.release === 0) return all()
      const lodger = lodgerOf(ref)
      if (lodger === null || !isAnyIn(lodger.cgroup)) return []
      return all().filter(({ place }) => place === lodger.place)
    },
    ports: (app) => (apps.get(app)?.ports ?? []).map(({ port }) => ({ port, declared: true })),
    lend: () => {},
    word: (app) => {
      const { active = 0, holdMs = 0 } = apps.get(app) ?? {}
      return { active, standby: 0, hold: holdMs > 0 }
    },
    switchTo: (id, release, { hold }) => {
      const app = shared(id)
      const lodger = lodgerOf({ app: id, release })
      if (release !== 0 && lodger === null) throw failure(`v${release} has no place on the ports of the app`)
      const before = { active: app.active, at: app.at }
      app.active = release
      // Whoever waits for the next release does so at its place: the one that is to end has those alone that it has.
      app.at = lodger?.place ?? (hold ? freePlace(app) : null) ?? app.at
      try {
        // Written first: a daemon that dies in between is followed by one that makes it so.
        save()
      } catch (error) {
        Object.assign(app, before)
        throw error
      }
      app.desertedSince = null
      if (lodger !== null && isShut(app)) open(app)
      const direction = directionOf(app)
      const began = process.hrtime.bigint()
      if (lodger === null && !hold) shut(app)
      else for (const group of app.groups.values()) group.direct(direction)
      const ended = process.hrtime.bigint()
      if (lodger === null && hold) refuseLate(app)
      return Number(ended - began) / 1000
    },
    accepted: () => null,
    hasHeirs: () => false,
    park: () => {},
    parked: (id) => {
      const app = apps.get(id)
      if (app === undefined) return 0
      const deserted = isDeserted(app)
      if (!deserted && app.desertedSince === null) return 0
      const waiting = waitingAt(app)
      // Whoever was started again takes them, or is about to. One that ends before it does is none that serves.
      if (!deserted && waiting === 0) app.desertedSince = null
      return waiting
    },
    unpark: () => 0,
    closeParked: (id) => {
      const app = apps.get(id)
      if (app === undefined || !isDeserted(app)) return 0
      app.desertedSince ??= performance.now()
      if (performance.now() - app.desertedSince < app.holdMs) return 0
      const waited = waitingAt(app)
      shut(app)
      return waited
    },
    probe: (_ref, listener) => probe(listener),
    strangers: () => [],
    counters: () => ({}),
    close: () => {
      for (const { groups } of apps.values()) for (const group of groups.values()) group[Symbol.dispose]()
      apps.clear()
    },
    destroy: () => {
      for (const { groups } of apps.values()) for (const group of groups.values()) group.destroy()
      apps.clear()
      save()
    },
  }
}

const isTaken = ({ lodgers }: Pick<Entry, 'lodgers'>, at: number): boolean => lodgers.some(({ place }) => place === at)

/** One that no release has, or null. */
const freePlace = (app: Pick<Entry, 'lodgers'>): number | null =>
  everyPlace.find((place) => !isTaken(app, place)) ?? null

const everyPlace = Array.from({ length: maxAlive }, (_, place) => place)

/** Sockets at different addresses are in different groups: a cutover between them would do nothing. */
function requireSameAddress({ ports }: Shared, { port, address }: DeclaredPort): void {
  const before = ports.find((one) => one.port === port)?.address ?? null
  if (before === address) return
  const text = (one: string | null) => one ?? 'every address'
  throw refusal(
    `Port ${port} is held at ${text(before)}, and share cannot move it to ${text(address)} while the app is live. Remove the app, or deploy it under another name.`,
  )
}
