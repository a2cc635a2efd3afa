/** One node as the engine sees it: what it knows, what runs on it, and the kernel's part. Every file of this folder works on it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { AppConfig } from '../core/app-config.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import type { Instance } from '../instances/instance.ts'
import { leaveCgroup } from '../linux/cgroup.ts'
import { enclosureNamed, isCgroup } from '../linux/enclosure.ts'
import { findBpffs } from '../linux/mounts.ts'
import type { User } from '../linux/users.ts'
import type { App } from '../store/apps.ts'
import type { Home } from '../store/home.ts'
import type { Store } from '../store/store.ts'
import type { ReleaseRef, Steering } from '../strategies/steering.ts'
import { createTraffic } from '../strategies/traffic.ts'
import type { Log } from './engine.ts'
import { createLocks, type Locks } from './locks.ts'
import { createLogWatches, type LogWatches } from './log-watches.ts'
import type { Parts } from './parts.ts'
import type { Borrower } from './users.ts'

/** A release whose processes run. */
export interface Running {
  readonly app: AppName
  readonly release: ReleaseNumber
  readonly ref: ReleaseRef
  readonly cgroup: string
  readonly config: AppConfig
  readonly owner: User
  readonly instance: Instance
}

export interface Node extends Pick<Parts, 'instances' | 'commands' | 'files' | 'cgroups' | 'tryQueues'>, LogWatches {
  readonly home: Home
  readonly store: Store
  readonly log: Log
  readonly locks: Locks
  /** Cutover's own cgroup, or what stands in for one; those of the releases are below it. */
  readonly cgroup: string
  /** Aborted when the daemon leaves: what goes on in the background ends, processes and traffic go on. */
  readonly closing: AbortSignal
  /** Aborted when every app is to end: then nothing is started by itself any more. */
  readonly shuttingDown: AbortController
  /** What moves traffic. Throws once the daemon leaves: what goes on in the background ends there. */
  steering(): Steering
  /** The kernel's part, loaded and proven at first need. Throws as {@link steering} does. */
  steer(): Steering
  /** The same if an earlier daemon left it or it is open already, or null. */
  findSteer(): Steering | null
  /** The same if it is open already, or null. */
  openedSteer(): Steering | null
  /** Lets go of what moves traffic, which stays as it is. */
  closeSteering(): void
  /** Takes all of it away. Nothing may run any more. */
  endSteering(): void
  readonly running: Map<string, Running>
  /** Workers to which the ports of their apps are lent, or will be, in that order; only where releases of several users run. */
  readonly borrowers: Borrower[]
  /** What this daemon found of an app when it started, in words; until the next operation of that app. */
  readonly found: Map<AppName, string>
  /** A release that an operation is about to start: its files stay. */
  readonly wanted: Map<AppName, ReleaseNumber>
  /** What goes on after an operation has ended, by name. */
  readonly background: Map<string, Promise<void>>
}

export interface NodeOptions {
  readonly home: Home
  readonly store: Store
  readonly log: Log
  readonly closing: AbortSignal
  readonly parts: Parts
}

export function createNode({ home, store, log, closing, parts }: NodeOptions): Node {
  const { instances, commands, files, cgroups, openSteering, openSharing, tryQueues, bpffs } = parts
  const name = nameOf(home)
  const cgroup = enclosureNamed(name)
  // A command that an app ran may have started this daemon.
  if (isCgroup(cgroup)) leaveCgroup((path) => path.startsWith('/cutover-'))
  let steerer: Steering | null = null
  let traffic: Steering | null = null
  /** The machine's bpffs, or one of our own where it has none. */
  const bpffsOf = (): string => {
    const found = foundBpffs(home)
    if (found !== null) return found
    bpffs.mount(home.bpffs)
    return home.bpffs
  }
  const findSteer = (): Steering | null => {
    const pins = steerer === null ? foundPins(home) : null
    if (pins !== null) steerer = openSteering({ pins, cgroup })
    return steerer
  }
  const steer = (): Steering => {
    closing.throwIfAborted()
    steerer ??= openSteering({ pins: join(bpffsOf(), name), cgroup })
    return steerer
  }
  const openTraffic = (): Steering => {
    traffic ??= createTraffic({ steer, findSteer, share: openSharing({ book: home.places, cgroup }) })
    return traffic
  }
  return {
    ...createLogWatches(home, store, log),
    home,
    store,
    log,
    instances,
    commands,
    files,
    cgroups,
    tryQueues,
    locks: createLocks(),
    cgroup,
    closing,
    shuttingDown: new AbortController(),
    steering: () => {
      closing.throwIfAborted()
      return openTraffic()
    },
    steer,
    findSteer,
    openedSteer: () => steerer,
    closeSteering: () => {
      for (const one of [steerer, traffic]) one?.close()
      steerer = null
      traffic = null
    },
    endSteering: () => {
      openTraffic().destroy()
      steerer = null
      traffic = null
      removeDying(cgroups, cgroup)
      if (existsSync(home.bpffs)) bpffs.unmount(home.bpffs)
    },
    running: new Map(),
    borrowers: [],
    found: new Map(),
    wanted: new Map(),
    background: new Map(),
  }
}

/**
 * Removes Cutover's cgroup, whose last processes were killed a moment ago. Blocks for the milliseconds that they take to go, so that nothing
 * can be started in between.
 * @throws as rmdir(2) does, EBUSY if something does not end within 2 s
 */
function removeDying(cgroups: Parts['cgroups'], cgroup: string): void {
  const deadline = performance.now() + 2000
  for (;;) {
    try {
      cgroups.remove(cgroup)
      return
    } catch (error) {
      const busy = error instanceof Error && 'code' in error && error.code === 'EBUSY'
      if (!busy || performance.now() > deadline) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
    }
  }
}

/** Our own counts first: pins that an earlier daemon made there are not found in the machine's, should that appear later. */
const foundBpffs = (home: Home): string | null => findBpffs([home.bpffs, '/sys/fs/bpf'])

/** Where the kernel's part of this home is pinned, or null if it is not. */
export function foundPins(home: Home): string | null {
  const place = foundBpffs(home)
  const pins = place === null ? null : join(place, nameOf(home))
  return pins !== null && existsSync(pins) ? pins : null
}

const nameOf = (home: Home): string => `cutover-${home.id}`

/** How a release is named in maps of this process, and its cgroup below Cutover's. */
export const keyOf = (app: AppName, release: ReleaseNumber): string => `${app}.${named(release)}`

export const runningOf = (node: Node, app: AppName, release: ReleaseNumber): Running | null =>
  node.running.get(keyOf(app, release)) ?? null

/** The releases of the app that run, lowest number first. */
export const allRunning = (node: Node, app: AppName): Running[] =>
  [...node.running.values()].filter((one) => one.app === app).toSorted((a, b) => a.release - b.release)

export const refOf = (app: App, release: ReleaseNumber): ReleaseRef => ({ app: app.slot, release })

export const now = (): string => new Date().toISOString()
