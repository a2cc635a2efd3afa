/**
 * Every deed of an engine as a named point at which the daemon can end. A deed is whatever changes something outside of its memory: a part of
 * the engine that is not listed here as mere reading is one by itself, so that a new step is a new point.
 */
import { existsSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { type AppState, activeOf } from '../../src/core/app.ts'
import type { OperationKind } from '../../src/core/documents.ts'
import type { ReleaseNumber } from '../../src/core/words.ts'
import type { Parts } from '../../src/engine/parts.ts'
import type { Instance, InstanceSpec } from '../../src/instances/instance.ts'
import { isCgroup } from '../../src/linux/enclosure.ts'
import type { Store } from '../../src/store/store.ts'
import type { Sharing } from '../../src/strategies/share/sharing.ts'
import type { ReleaseRef, Steering } from '../../src/strategies/steering.ts'

/** Called right before each deed, and in the middle of those that take their time, with its name. */
export type AtPoint = (name: string) => void

/**
 * The names of an object's deeds; null: it only reads, or this once there is nothing to be done. A function without either is a deed that has its
 * own name.
 */
type Names<T> = {
  readonly [K in keyof T]?: T[K] extends (...args: infer A) => unknown ? ((...args: A) => string | null) | null : never
}

/** What only looks at the traffic, whichever way it is moved. */
const looks = {
  releases: null,
  listeners: null,
  ports: null,
  word: null,
  accepted: null,
  hasHeirs: null,
  parked: null,
  counters: null,
  probe: null,
  close: null,
} as const

/** The parts, each deed of which is told before it is done. */
export function withPoints(parts: Parts, at: AtPoint): Parts {
  let roles: Readonly<Record<ReleaseNumber, string>> = {}
  /** Which release, by its part in the operation. */
  const who = (number: number | null): string => roles[number ?? 0] ?? 'the release'
  const ofRef = (ref: ReleaseRef): string => who(ref.release)
  const ofCgroup = (path: string): string => who(releaseIn(path))

  const store = (opened: Store): Store => ({
    ...opened,
    apps: guarded('store.apps', opened.apps, at, {
      list: null,
      find: null,
      get: null,
      state: null,
      config: null,
      workers: null,
      uids: null,
      open: () => 'the app is written down',
      change: (_, event) => `"${event.type}" is written down${'release' in event ? ` of ${who(event.release)}` : ''}`,
      keepWorkers: (_, number, workers) =>
        workers.length > 0
          ? `the workers of ${who(number)} are written down`
          : `it is written down that ${who(number)} has no workers`,
      forget: () => 'the app is forgotten',
      speaksHttp: () => 'it is written down that the app speaks HTTP',
    }),
    operations: guarded('store.operations', opened.operations, at, {
      unfinished: null,
      knows: null,
      history: null,
      cutOf: null,
      begin: (app, kind, number) => {
        roles = rolesIn(opened.apps.state(app), kind, number ?? 0)
        return `the ${kind} is written down`
      },
      step: (_, step) => `the step ${step} is written down`,
      end: () => 'its end is written down',
      note: (_, kind) => `history is told: ${kind}`,
      cut: () => 'cut connections are written into a receipt',
    }),
    events: guarded('store.events', opened.events, at, {
      after: null,
      listen: null,
      add: (event) => `an event is told: ${event}`,
    }),
  })

  const steering = (opened: Steering): Steering =>
    guarded('steering', opened, at, {
      ...looks,
      inherited: null,
      addApp: () => 'the kernel is told the ports',
      removeApp: () => 'the kernel forgets the app',
      addRelease: (ref) => `the hooks of ${ofRef(ref)} are attached`,
      removeRelease: (ref) => `the kernel forgets ${ofRef(ref)}`,
      switchTo: (_, number) => (number === 0 ? 'new connections are refused' : `the switch to ${who(number)}`),
      park: () => 'the ports are held',
      lend: () => 'the ports are lent to a user',
      unpark: () => 'what waits is handed on',
      closeParked: () => 'what waited too long is closed',
      destroy: () => "the kernel's part is taken away",
    })

  const sharing = (opened: Sharing): Sharing =>
    guarded('sharing', opened, at, {
      ...looks,
      has: null,
      strangers: null,
      // There is nothing to be done in this strategy.
      lend: null,
      park: null,
      unpark: null,
      reenter: null,
      addApp: () => 'the ports are written down',
      removeApp: (app) => (opened.has(app) ? 'the ports are given up' : null),
      addRelease: (ref) => `${ofRef(ref)} gets a place on the ports`,
      inherited: (ref) => `a worker of ${ofRef(ref)} is given that place`,
      removeRelease: (ref) => `${ofRef(ref)} gives its place back`,
      switchTo: (_, number) => (number === 0 ? 'new connections are refused' : `the switch to ${who(number)}`),
      closeParked: () => 'what waited too long is closed',
      destroy: () => (opened.releases().length > 0 ? 'all places are taken away' : null),
    })

  const instance = (started: Instance, spec: InstanceSpec): Instance => {
    const its = () => ofCgroup(spec.cgroup)
    const told = guarded('instance', started, at, {
      workers: null,
      pids: null,
      abandon: null,
      keepAlive: () => `the workers of ${its()} are kept alive`,
      stop: () => `the processes of ${its()} are told to end`,
    })
    return { ...told, stop: () => inTheMiddle(`the processes of ${its()} end`, at, told.stop(), () => true) }
  }
  /** What happens to a worker, before anything is made of it. */
  const heard =
    (listener: Parameters<Parts['instances']['start']>[1]): typeof listener =>
    (event) => {
      at(`before it is heard of a worker: ${event.type}`)
      listener(event)
    }

  return {
    openStore: (file, onLost) => store(parts.openStore(file, onLost)),
    openSteering: (options) => {
      at("before the kernel's part is opened")
      return steering(parts.openSteering(options))
    },
    openSharing: (options) => {
      at('before the places are found')
      return sharing(parts.openSharing(options))
    },
    tryQueues: parts.tryQueues,
    instances: {
      start: async (spec, onEvent) => {
        at(`before the workers of ${ofCgroup(spec.cgroup)} are started`)
        return instance(await parts.instances.start(spec, heard(onEvent)), spec)
      },
      adopt: (spec, workers, onEvent) => instance(parts.instances.adopt(spec, workers, heard(onEvent)), spec),
    },
    commands: {
      run: (spec) => {
        const command = basename(spec.cgroup)
        at(`before the ${command} command is run`)
        let wrote = false
        const onLine = (line: string) => {
          wrote = true
          spec.onLine?.(line)
        }
        return inTheMiddle(`the ${command} command runs`, at, parts.commands.run({ ...spec, onLine }), () => wrote)
      },
    },
    files: {
      ...guarded('files', parts.files, at, {
        keepEnvironment: () => 'the environment is kept',
        toDisk: () => 'its files are made sure of on the disk',
        removeLeftovers: () => 'what was left over is removed',
        removeFile: () => 'a file of a log is removed',
      }),
      removeTree: (path) => {
        const folder = basename(dirname(path))
        at(`before the app's ${folder} are removed`)
        return inTheMiddle(`the app's ${folder} are removed`, at, parts.files.removeTree(path), () => true)
      },
      copy: (request) => {
        at('before the folder is copied')
        return inTheMiddle('the folder is copied', at, parts.files.copy(request), () =>
          existsSync(`${request.to}.partial`),
        )
      },
      remove: (directory) => {
        const its = who(releaseIn(directory))
        at(`before the files of ${its} are removed`)
        return inTheMiddle(`the files of ${its} are removed`, at, parts.files.remove(directory), () =>
          existsSync(`${directory}.removed`),
        )
      },
    },
    cgroups: guarded('cgroups', parts.cgroups, at, {
      create: (path) => (isCgroup(path) ? `the cgroup of ${ofCgroup(path)} is made` : null),
      freeze: (path) => `the processes of ${ofCgroup(path)} are frozen`,
      thaw: (path) => `the processes of ${ofCgroup(path)} go on`,
      setOomScores: (path) => `the processes of ${ofCgroup(path)} get their oom scores`,
      kill: (path) =>
        isCgroup(path)
          ? `what is left in the cgroup of ${ofCgroup(path)} is killed`
          : `what is left of ${ofCgroup(path)} is killed`,
      remove: (path) => {
        if (!isCgroup(path)) return null
        return releaseIn(path) === null ? "Cutover's cgroup is removed" : `the cgroup of ${ofCgroup(path)} is removed`
      },
    }),
    bpffs: guarded('bpffs', parts.bpffs, at, {
      mount: () => 'a bpffs is mounted',
      unmount: () => 'the bpffs is unmounted',
    }),
  }
}

/** What each release is to the operation. */
function rolesIn(state: AppState, kind: OperationKind, release: ReleaseNumber): Readonly<Record<number, string>> {
  const moved = kind === 'deploy' || kind === 'rollback'
  const others = state.releases.map(({ number }) => [number, moved ? 'an older release' : 'the standby'])
  const former = moved ? 'the former release' : 'the active release'
  return {
    ...Object.fromEntries(others),
    [activeOf(state)?.number ?? 0]: former,
    ...(moved && { [release]: kind === 'deploy' ? 'the new release' : 'the release gone back to' }),
  }
}

/** From `…/APP.vN`, `…/APP.vN/wK`, `…/APP/vN`. */
function releaseIn(path: string): number | null {
  const number = /[./]v(\d+)(\/\w+)?$/.exec(path)?.[1]
  return number === undefined ? null : Number(number)
}

function guarded<T extends object>(what: string, target: T, at: AtPoint, names: Names<T>): T {
  const entries = Object.entries(target).map(([key, value]) => {
    const name = names[key as keyof T]
    if (typeof value !== 'function' || name === null) return [key, value]
    const told = (...args: never[]) => {
      const deed = name === undefined ? `${what}.${key}` : name(...args)
      if (deed !== null) at(`before ${deed}`)
      return value(...args)
    }
    return [key, told]
  })
  return Object.fromEntries(entries)
}

/** Tells, once, that the work is under way: as soon as it is so, unless it has ended by then. */
async function inTheMiddle<T>(name: string, at: AtPoint, work: Promise<T>, isSo: () => boolean): Promise<T> {
  let over = false
  const look = () => {
    if (over) return
    if (isSo()) at(`while ${name}`)
    else setImmediate(look)
  }
  setImmediate(look)
  try {
    return await work
  } finally {
    over = true
  }
}
