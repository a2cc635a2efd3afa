/** What every strategy that keeps two releases alive can do: the one interface by which the engine moves traffic. */
import type { Socket } from 'node:net'
import type { AppId, ReleaseNumber } from '../core/words.ts'

/** A release of an app. Release 0 of an app is whoever stands on its ports for nobody: its park, or the places that no release has. */
export interface ReleaseRef {
  readonly app: AppId
  readonly release: ReleaseNumber
}

/** Most releases of an app that live at one time. */
export const maxAlive = 8

export interface Listener {
  readonly port: number
  readonly family: 'ipv4' | 'ipv6'
  /** As `0.0.0.0`, `::`, `::ffff:127.0.0.1`. */
  readonly address: string
  readonly v6only: boolean
  /** Index of the interface that it is bound to; 0: any. */
  readonly device: number
  readonly uid: number
  /** Its number among the release's listeners on the port. */
  readonly place: number
  readonly cookie: bigint
  /** Id of the cgroup of the worker that opened it; 0n for park; null where all workers of the release have it. */
  readonly worker: bigint | null
  /** Connections that wait to be accepted. */
  readonly waiting: number
}

/** A port that a release declares. */
export interface DeclaredPort {
  readonly port: number
  /** Where it is to be reached, `::` being everywhere; null: where the release listens. */
  readonly address: string | null
}

export interface AppPort {
  readonly port: number
  /** By the app's config; otherwise a release just listens there. */
  readonly declared: boolean
}

export interface Lending {
  /** The uid of whoever is about to bind. */
  readonly to: number
  /** Sockets of these users only; null: of all. A release that takes another user by itself, before it binds, keeps its sockets that way. */
  readonly from: ReadonlySet<number> | null
}

/** A listening socket that is handed to a program when it is started. */
export interface Inherited {
  readonly fd: number
  /** By which the program may know it among several: its port. */
  readonly name: string
}

export interface AppPorts {
  /** All ports that its releases declare. */
  readonly ports: readonly number[]
  /** How long connections are parked that nothing can serve; 0: not at all. */
  readonly holdMs: number
  /** Its releases are given their listening sockets, instead of opening them by themselves. */
  readonly inherit?: boolean
}

export interface RunningRelease {
  readonly ref: ReleaseRef
  readonly cgroup: string
  /** As for {@link Steering.addRelease}. */
  readonly ports: readonly DeclaredPort[]
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
   * Every socket that is made in the cgroup from now on is this release's, dark until it is switched to. Its `ports` say where it is to be
   * reached then, if not where it listens.
   * @throws CutoverError `refused` if the app has as many living releases as there is room for
   */
  addRelease(ref: ReleaseRef, cgroup: string, ports?: readonly DeclaredPort[]): void
  /**
   * Takes in releases of an app that run and of which the kernel knows nothing any more (see reenter.ts), with all that listens in their
   * cgroups. `active` gets new connections from the moment at which anything of the app is steered.
   */
  reenter(app: AppId, releases: readonly RunningRelease[], word: Omit<Word, 'standby'>): void
  /** What each program of the release is given to listen on; empty where it opens its ports by itself. */
  inherited(ref: ReleaseRef): readonly Inherited[]
  /** Forgets the release; its processes have ended. One that is not known is fine. */
  removeRelease(ref: ReleaseRef): void
  /** The releases that were added and not removed. */
  releases(): ReleaseRef[]
  /** What listens for the release at this moment; release 0: the app's park sockets. */
  listeners(ref: ReleaseRef): Listener[]
  /** The app's ports, those included that nobody declared and a release listens on. */
  ports(app: AppId): AppPort[]
  /** Gives the app's sockets to the user who is about to open another one: a port is shared among sockets of one user only. */
  lend(app: AppId, lending: Lending): void
  word(app: AppId): Word
  /**
   * Gives new connections to the release from now on (0: to none), all ports in one step. What nothing can serve is parked with `hold`, for as
   * long as the app's `holdMs` allows, and refused without.
   * @returns microseconds of the one map update
   */
  switchTo(app: AppId, release: ReleaseNumber, options: { readonly hold: boolean }): number
  /**
   * Connections from the public that were made with the release, or had waited for it in park. Those from another's queue were made there. Null
   * where nobody counts them.
   */
  accepted(ref: ReleaseRef): number | null
  /** Whether what waits in the queue of a release that is left can move to the one that is active. */
  hasHeirs(app: AppId): boolean
  /**
   * Holds every address at which a release of the app listens on a declared port, or is to be reached there, and lets all groups have their
   * program.
   * @throws CutoverError `failed` naming the address that cannot be held
   */
  park(app: AppId): void
  /** Connections that wait because nothing could serve them. */
  parked(app: AppId): number
  /**
   * Hands on what waits where the active release listens, handshakes half done included; says how many waited there. The rest goes on waiting.
   * Quick where nobody was parked.
   */
  unpark(app: AppId): number
  /** Closes, and counts, what has waited longer than `hold`, or all that waits where nothing is to be parked now. */
  closeParked(app: AppId): number
  /** A connection to exactly this release, dark or not. */
  probe(ref: ReleaseRef, listener: Listener): Socket
  /** The look-up programs of others that steer in this network namespace, in the order in which they run. */
  strangers(): readonly { readonly id: number; readonly name: string }[]
  /** What happened so far on this node, by name; of these names, or of all that there are. */
  counters(names?: readonly string[]): Record<string, number>
  /** Closes this process's descriptors; the kernel goes on. */
  close(): void
  /** Takes everything away: pins, programs, park. */
  destroy(): void
}
