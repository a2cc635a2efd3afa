/**
 * The strategy `steer`: every release listens on the public port itself, and programs in the kernel say which of them gets a new connection.
 * This is the daemon's hand on them. All that counts is in the kernel, pinned: a daemon that comes later finds it as it is.
 */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { failure, refusal } from '../../core/errors.ts'
import type { AppId, ReleaseNumber } from '../../core/words.ts'
import { attachHooks, detachHooks, hookedReleases } from './hooks.ts'
import { openKernel, removePins } from './kernel.ts'
import {
  counterNames,
  maxAlive,
  ownerOfPort,
  placeKey,
  portKey,
  portOfKey,
  portValue,
  type ReleaseRef,
  releaseKey,
  u32,
  u64,
  wordHold,
} from './layout.ts'
import { type Listener, listenersFor, placesOf, rowsOf } from './listeners.ts'
import { openParks } from './park.ts'
import { probe } from './probe.ts'

export type { ReleaseRef } from './layout.ts'
export type { Listener } from './listeners.ts'

export interface SteeringOptions {
  /** A directory in a bpffs, made if need be. */
  readonly pins: string
  /** Cutover's own cgroup, made if need be. */
  readonly cgroup: string
}

export interface AppPorts {
  /** All ports that its releases declare. */
  readonly ports: readonly number[]
  /** How long connections are parked that nothing can serve; 0: not at all. */
  readonly holdMs: number
}

export interface Word {
  readonly active: ReleaseNumber
  readonly standby: ReleaseNumber
  readonly hold: boolean
}

export interface Steering {
  /**
   * Reserves the ports for the app; those that it declared before and does not now are given back, unless a release listens there.
   * @throws CutoverError `refused` if another app has one
   */
  addApp(app: AppId, wanted: AppPorts): void
  /** Gives all its ports back. No release of it may live. */
  removeApp(app: AppId): void
  /**
   * Every socket that is made in the cgroup from now on is this release's, dark until it is switched to.
   * @throws CutoverError `refused` if the app has as many living releases as there is room for
   */
  addRelease(ref: ReleaseRef, cgroup: string): void
  /** Forgets the release; its processes have ended. One that is not known is fine. */
  removeRelease(ref: ReleaseRef): void
  /** The releases that were added and not removed. */
  releases(): ReleaseRef[]
  /** What listens for the release at this moment; release 0: the app's park sockets. */
  listeners(ref: ReleaseRef): Listener[]
  /** The app's ports, those included that nobody declared and a release listens on. */
  ports(app: AppId): { readonly port: number; readonly declared: boolean }[]
  word(app: AppId): Word
  /**
   * Gives new connections to the release from now on (0: to none; they are refused), all ports in one step.
   * @returns microseconds of the one map update
   */
  switchTo(app: AppId, release: ReleaseNumber, options: { readonly hold: boolean }): number
  /** Connections that the release has accepted from the public. */
  accepted(ref: ReleaseRef): number
  /** Holds every address at which a release of the app listens on a declared port, and lets all groups have their program. */
  park(app: AppId): void
  /** Connections that wait because nothing could serve them. */
  parked(app: AppId): number
  /** Hands what waits to the active release; says how many waited. */
  unpark(app: AppId): number
  /** Closes what has waited longer than `hold` (`all`: whatever waits); says how many that were. */
  closeParked(app: AppId, options?: { readonly all: boolean }): number
  /** A connection to exactly this release, dark or not. */
  probe(ref: ReleaseRef, listener: Listener): Socket
  /** What happened so far on this node, by name. */
  counters(): Record<string, number>
  /** Closes this process's descriptors; the kernel goes on. */
  close(): void
  /** Takes everything away: pins, programs, park. */
  destroy(): void
}

/**
 * Finds the kernel's part as an earlier daemon left it, or loads, proves and attaches it.
 * @throws CutoverError `failed` if the look-up program would touch a port that no app declares; SystemError if the kernel refuses
 */
export function openSteering({ pins, cgroup }: SteeringOptions): Steering {
  const kernel = openKernel(pins)
  const { maps } = kernel
  const parks = openParks(maps, kernel.group, cgroup)
  const aliveOf = (app: AppId): Buffer => maps.alive.get(u32(app)) ?? Buffer.alloc(maxAlive * 2)
  const livingOf = (app: AppId): ReleaseNumber[] =>
    Array.from({ length: maxAlive }, (_, slot) => aliveOf(app).readUInt16LE(slot * 2)).filter(
      (release) => release !== 0,
    )
  const portsOf = (app: AppId) =>
    maps.ports.keys().flatMap((key) => {
      const value = maps.ports.get(key)
      const owner = value && ownerOfPort(value)
      return owner?.app === app ? [{ port: portOfKey(key), declared: owner.declared }] : []
    })
  const isListenedOn = (app: AppId, port: number): boolean =>
    livingOf(app).some((release) => listenersFor(maps, { app, release }).some((one) => one.port === port))
  const freePort = (app: AppId, port: number) => {
    parks.free(app, port)
    maps.ports.delete(portKey(port))
  }
  const newHold = (app: AppId, ns: bigint) => {
    const epoch = maps.holds.get(u32(app))?.readBigUInt64LE(8) ?? 0n
    maps.holds.set(u32(app), u64(ns, epoch + 1n))
  }
  const holdOf = (app: AppId): bigint => maps.holds.get(u32(app))?.readBigUInt64LE(0) ?? 0n
  const waitingFor = (app: AppId): number => parks.of(app).reduce((sum, { waiting }) => sum + waiting, 0)

  const steering: Steering = {
    addApp: (app, { ports, holdMs }) => {
      for (const port of ports) {
        const owner = maps.ports.get(portKey(port))
        if (owner !== null && ownerOfPort(owner).app !== app)
          throw refusal(`Port ${port} belongs to another app of this node.`)
      }
      for (const port of ports) maps.ports.set(portKey(port), portValue(app, true))
      for (const { port } of portsOf(app)) {
        if (ports.includes(port)) continue
        if (isListenedOn(app, port)) maps.ports.set(portKey(port), portValue(app, false))
        else freePort(app, port)
      }
      newHold(app, BigInt(holdMs) * 1_000_000n)
      if (maps.apps.get(u32(app)) === null) maps.apps.set(u32(app), Buffer.alloc(8))
    },
    removeApp: (app) => {
      for (const { port } of portsOf(app)) freePort(app, port)
      maps.apps.delete(u32(app))
      maps.alive.set(u32(app), Buffer.alloc(maxAlive * 2))
    },
    addRelease: (ref, cgroup) => {
      const alive = aliveOf(ref.app)
      const slots = Array.from({ length: maxAlive }, (_, slot) => alive.readUInt16LE(slot * 2))
      const slot = slots.includes(ref.release) ? slots.indexOf(ref.release) : slots.indexOf(0)
      if (slot === -1) throw refusal(`${maxAlive} releases of this app run already; wait until one has retired.`)
      maps.tallies.set(u32(releaseKey(ref)), u64(0n))
      attachHooks(kernel, ref, cgroup)
      alive.writeUInt16LE(ref.release, slot * 2)
      maps.alive.set(u32(ref.app), alive)
    },
    removeRelease: (ref) => {
      detachHooks(kernel, ref)
      const alive = aliveOf(ref.app)
      for (let slot = 0; slot < maxAlive; slot++) {
        if (alive.readUInt16LE(slot * 2) === ref.release) alive.writeUInt16LE(0, slot * 2)
      }
      maps.alive.set(u32(ref.app), alive)
      for (const row of rowsOf(maps, ref)) {
        for (const place of placesOf(maps, row)) {
          maps.places.delete(placeKey(place))
          maps.owners.delete(placeKey(place))
        }
        maps.seats.delete(placeKey(row))
      }
      maps.tallies.delete(u32(releaseKey(ref)))
      for (const { port, declared } of portsOf(ref.app)) {
        if (!declared && !isListenedOn(ref.app, port)) freePort(ref.app, port)
      }
    },
    releases: () => hookedReleases(kernel),
    listeners: (ref) => listenersFor(maps, ref),
    ports: portsOf,
    word: (app) => {
      const word = maps.apps.get(u32(app)) ?? Buffer.alloc(8)
      return {
        active: word.readUInt16LE(0),
        standby: word.readUInt16LE(2),
        hold: (word.readUInt16LE(6) & wordHold) !== 0,
      }
    },
    switchTo: (app, release, { hold }) => {
      const key = u32(app)
      const word = Buffer.alloc(8)
      word.writeUInt16LE(release, 0)
      word.writeUInt16LE(hold ? wordHold : 0, 6)
      const before = process.hrtime.bigint()
      maps.apps.set(key, word)
      const after = process.hrtime.bigint()
      newHold(app, holdOf(app))
      return Number(after - before) / 1000
    },
    accepted: (ref) => Number(maps.tallies.get(u32(releaseKey(ref)))?.readBigUInt64LE(0) ?? 0n),
    park: (app) => {
      const declared = new Set(portsOf(app).flatMap(({ port, declared }) => (declared ? [port] : [])))
      const held = parks.of(app)
      for (const listener of livingOf(app).flatMap((release) => listenersFor(maps, { app, release }))) {
        if (held.some((one) => isSamePlace(one, listener))) continue
        held.push(listener)
        if (declared.has(listener.port)) parks.hold(app, listener)
        else parks.join(listener)
      }
    },
    parked: waitingFor,
    unpark: (app) => {
      const waited = waitingFor(app)
      if (waited === 0) return 0
      parks.handOn(app)
      poke(steering, app)
      return waited
    },
    closeParked: (app, { all } = { all: false }) => {
      if (waitingFor(app) === 0 || (!all && !isOver(app))) return 0
      const closed = parks.closeWaiting(app)
      const key = u32(counterNames.indexOf('closed_late'))
      maps.counters.set(key, u64((maps.counters.get(key)?.readBigUInt64LE(0) ?? 0n) + BigInt(closed)))
      return closed
    },
    probe: (ref, listener) => probe(maps, ref, listener),
    counters: () =>
      Object.fromEntries(
        counterNames.map((name, index) => [name, Number(maps.counters.get(u32(index))?.readBigUInt64LE(0) ?? 0n)]),
      ),
    close: () => {
      parks.close()
      kernel[Symbol.dispose]()
    },
    destroy: () => {
      parks.destroy()
      removePins(pins)
      kernel[Symbol.dispose]()
    },
  }

  /** Has the first one that was parked at any of the app's places waited for longer than `hold`? */
  const isOver = (app: AppId): boolean => {
    const epoch = maps.holds.get(u32(app))?.readBigUInt64LE(8) ?? 0n
    const now = bootTimeNs()
    return parks.of(app).some(({ port, place }) => {
      const stamp = maps.stamps.get(placeKey({ ref: { app, release: 0 }, port, n: place }))
      return stamp !== null && (stamp.readBigUInt64LE(0) !== epoch || now - stamp.readBigUInt64LE(8) > holdOf(app))
    })
  }

  return steering
}

const isSamePlace = (a: Listener, b: Listener): boolean =>
  a.port === b.port &&
  a.family === b.family &&
  a.address === b.address &&
  a.v6only === b.v6only &&
  a.device === b.device

/** On kernels without upstream 3864c6b a connection that was handed on wakes nobody: one of our own does. */
function poke(steering: Steering, app: AppId): void {
  const ref = { app, release: steering.word(app).active }
  const listener = steering.listeners(ref)[0]
  if (listener === undefined) return
  const socket = steering.probe(ref, listener)
  socket.on('error', () => socket.destroy()).once('connect', () => socket.destroy())
  setImmediate(() => socket.destroy())
}

/** CLOCK_BOOTTIME, which the program uses as well; to a hundredth of a second. See proc_uptime(5). */
const bootTimeNs = (): bigint => {
  const seconds = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
  if (!Number.isFinite(seconds)) throw failure('/proc/uptime could not be read')
  return BigInt(Math.round(seconds * 1000)) * 1_000_000n
}
