/**
 * The strategy `steer`: every release listens on the public port itself, and programs in the kernel say which of them gets a new connection.
 * This is the daemon's hand on them. All that counts is in the kernel, pinned: a daemon that comes later finds it as it is.
 */
import type { Socket } from 'node:net'
import type { AppId, ReleaseNumber } from '../../core/words.ts'
import { attachedPrograms, getPinned, linkInfo, openTarget } from '../../linux/bpf.ts'
import type { BpfMap } from '../../linux/bpf-map.ts'
import { SystemError } from '../../linux/ffi.ts'
import type { ReleaseRef, Steering, Word } from '../steering.ts'
import { clearStamp, isOver, isStamped, renewHold, setHold } from './hold.ts'
import { hookedReleases } from './hooks.ts'
import { install } from './install.ts'
import { openKernel, ownNamespace, removePins } from './kernel.ts'
import { counterNames, portKey, portValue, releaseKey, u32, u64, wordHold } from './layout.ts'
import { listenersFor } from './listeners.ts'
import { bringIn, forgetApp, takeOut, tidy } from './living.ts'
import { bringOver, leaveFormer } from './move.ts'
import { lendPorts } from './owner.ts'
import { isSamePlace, openPark, placeOfPark } from './park.ts'
import { declarePorts, leftPorts, portsOf } from './ports.ts'
import { openProbe } from './probe.ts'
import { enterListeners } from './reenter.ts'
import { leaveAlone, standEverywhere } from './standing.ts'

export interface SteeringOptions {
  /** A directory in a bpffs, made if need be. */
  readonly pins: string
  /** Cutover's own cgroup, made if need be. */
  readonly cgroup: string
  /** The folder of the kernel programs, as bpf/build.sh makes it; without it those of this source. */
  readonly objects?: URL
}

/**
 * Finds the kernel's part as an earlier daemon left it, or loads, proves and attaches it. Where other programs run than these, they are replaced
 * in place, and what is pinned in a former layout that is known is moved to the present one: no connection notices.
 * @throws CutoverError `failed` if the look-up program would touch a port that no app declares, the pins are another namespace's, or of a
 *   layout that is not known; SystemError if the kernel refuses
 */
export function openSteering({ pins, cgroup, objects }: SteeringOptions): Steering {
  using opened = new DisposableStack()
  const kernel = opened.use(openKernel(pins, objects))
  for (const _step of bringOver(kernel));
  tidy(kernel)
  const { maps } = kernel
  const park = openPark(maps, kernel.group, cgroup)
  opened.defer(() => park.close())
  for (const _step of install(kernel, park));
  for (const _step of leaveFormer(kernel));
  const probe = openProbe(maps)
  opened.move()

  const freePort = (app: AppId, port: number) => {
    park.free(app, port)
    maps.ports.delete(portKey(port))
  }
  const word = (app: AppId): Word => {
    const bytes = maps.apps.get(u32(app)) ?? Buffer.alloc(8)
    return {
      active: bytes.readUInt16LE(0),
      standby: bytes.readUInt16LE(2),
      hold: (bytes.readUInt16LE(6) & wordHold) !== 0,
    }
  }

  return {
    addApp: (app, { ports, holdMs }) => {
      for (const port of declarePorts(maps, app, ports)) freePort(app, port)
      setHold(maps, app, holdMs)
      maps.apps.add(u32(app), Buffer.alloc(8))
    },
    removeApp: (app) => {
      for (const { port } of portsOf(maps, app)) freePort(app, port)
      forgetApp(maps, app)
    },
    addRelease: (ref, cgroup, ports = []) => bringIn(kernel, ref, cgroup, ports),
    reenter: (app, releases, { active, hold }) => {
      const ports = releases.flatMap(({ ref, cgroup, ports }) => {
        bringIn(kernel, ref, cgroup, ports)
        return enterListeners(maps, ref, cgroup)
      })
      maps.apps.set(u32(app), wordBytes(active, hold))
      // Last: the look-up program refuses what is for a release that is not active.
      for (const port of ports) maps.ports.add(portKey(port), portValue(app, false))
    },
    removeRelease: (ref) => {
      takeOut(kernel, ref)
      for (const port of leftPorts(maps, ref.app)) freePort(ref.app, port)
      leaveAlone(maps, park, ref.app)
    },
    releases: () => hookedReleases(kernel),
    listeners: (ref) => listenersFor(maps, ref),
    ports: (app) => portsOf(maps, app),
    lend: (app, lending) => lendPorts(maps, app, lending),
    word,
    switchTo: (app, release, { hold }) => {
      const key = u32(app)
      const word = wordBytes(release, hold)
      const before = process.hrtime.bigint()
      maps.apps.set(key, word)
      const after = process.hrtime.bigint()
      renewHold(maps, app)
      return Number(after - before) / 1000
    },
    inherited: () => [],
    hasHeirs: () => true,
    accepted: (ref) => Number(countOf(maps.tallies, ref) + countOf(maps.handed, ref)),
    park: (app) => standEverywhere(maps, park, app),
    parked: (app) => park.of(app).reduce((sum, { waiting }) => sum + waiting, 0),
    unpark: (app) => {
      const used = park.of(app).filter((one) => one.waiting > 0 || isStamped(maps, placeOfPark(app, one)))
      if (used.length === 0) return 0
      const ref = { app, release: word(app).active }
      // Release 0 is park itself, nobody's heir.
      const heirs = ref.release === 0 ? [] : listenersFor(maps, ref)
      const ending = used.filter((one) => heirs.some((heir) => isSamePlace(heir, one)))
      for (const socket of ending) {
        park.handOn(app, socket)
        clearStamp(maps, placeOfPark(app, socket))
      }
      for (const heir of heirs) if (ending.some((one) => isSamePlace(one, heir))) wake(() => probe(ref, heir))
      const handed = ending.reduce((sum, { waiting }) => sum + waiting, 0)
      if (handed > 0) maps.handed.set(u32(releaseKey(ref)), u64(countOf(maps.handed, ref) + BigInt(handed)))
      return handed
    },
    closeParked: (app) => {
      const { hold } = word(app)
      const waiting = park.of(app).filter((one) => one.waiting > 0)
      const late = waiting.filter((one) => !hold || isOver(maps, placeOfPark(app, one)))
      const closed = late.reduce((sum, one) => sum + park.closeWaiting(one), 0)
      const key = u32(counterNames.indexOf('closed_late'))
      maps.counters.set(key, u64((maps.counters.get(key)?.readBigUInt64LE(0) ?? 0n) + BigInt(closed)))
      return closed
    },
    probe,
    strangers: () => {
      using link = getPinned(kernel.pins.lookup)
      using namespace = openTarget(ownNamespace)
      const own = linkInfo(link).program
      return attachedPrograms('sk_lookup', namespace.fd).filter(({ id }) => id !== own)
    },
    counters: (names = counterNames) =>
      Object.fromEntries(
        counterNames.flatMap((name, index) =>
          names.includes(name) ? [[name, Number(maps.counters.get(u32(index))?.readBigUInt64LE(0) ?? 0n)]] : [],
        ),
      ),
    close: () => {
      park.close()
      kernel[Symbol.dispose]()
    },
    destroy: () => {
      park.destroy()
      removePins(pins)
      kernel[Symbol.dispose]()
    },
  }
}

/** `struct word` */
function wordBytes(active: ReleaseNumber, hold: boolean): Buffer {
  const word = Buffer.alloc(8)
  word.writeUInt16LE(active, 0)
  word.writeUInt16LE(hold ? wordHold : 0, 6)
  return word
}

const countOf = (map: BpfMap, ref: ReleaseRef): bigint => map.get(u32(releaseKey(ref)))?.readBigUInt64LE(0) ?? 0n

/** How long a connection that is there to wake a listener stays: long enough for its handshake. */
const wakeMs = 100

/**
 * On kernels without upstream 3864c6b a connection that was handed on wakes nobody: one of our own does. That it can not be made harms
 * nobody else, and the listener will be woken by the next client.
 */
function wake(connect: () => Socket): void {
  try {
    const socket = connect()
    socket.on('error', () => socket.destroy())
    setTimeout(() => socket.destroy(), wakeMs).unref()
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
  }
}
