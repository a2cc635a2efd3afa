/** Both ways of moving traffic as one: each app has its ports in one of them, and whoever works with it need not know in which. */
import type { AppId } from '../core/words.ts'
import type { Sharing } from './share/sharing.ts'
import type { Steering } from './steering.ts'

export interface Ways {
  /** Loads the kernel's part if need be. */
  readonly steer: () => Steering
  /** The same if an earlier daemon left it or it is open already, or null. */
  readonly findSteer: () => Steering | null
  readonly share: Sharing
}

export function createTraffic({ steer, findSteer, share }: Ways): Steering {
  const of = (app: AppId): Steering => (share.has(app) ? share : (findSteer() ?? nothing))
  return {
    addApp: (app, wanted) => {
      const shares = share.has(app)
      const [way, other] = wanted.inherit ? [share, shares ? null : findSteer()] : [steer(), shares ? share : null]
      other?.removeApp(app)
      way.addApp(app, wanted)
    },
    removeApp: (app) => of(app).removeApp(app),
    addRelease: (ref, ...more) => of(ref.app).addRelease(ref, ...more),
    // Where the pins are gone there is nothing to find: the kernel's part is loaded anew.
    reenter: (app, ...more) => (share.has(app) ? share : steer()).reenter(app, ...more),
    inherited: (ref) => of(ref.app).inherited(ref),
    removeRelease: (ref) => of(ref.app).removeRelease(ref),
    releases: () => [...(findSteer() ?? nothing).releases(), ...share.releases()],
    listeners: (ref) => of(ref.app).listeners(ref),
    ports: (app) => of(app).ports(app),
    lend: (app, lending) => of(app).lend(app, lending),
    word: (app) => of(app).word(app),
    switchTo: (app, ...more) => of(app).switchTo(app, ...more),
    accepted: (ref) => of(ref.app).accepted(ref),
    hasHeirs: (app) => of(app).hasHeirs(app),
    park: (app) => of(app).park(app),
    parked: (app) => of(app).parked(app),
    unpark: (app) => of(app).unpark(app),
    closeParked: (app) => of(app).closeParked(app),
    probe: (ref, listener) => of(ref.app).probe(ref, listener),
    strangers: () => (findSteer() ?? nothing).strangers(),
    counters: (names) => (findSteer() ?? nothing).counters(names),
    close: () => share.close(),
    destroy: () => {
      findSteer()?.destroy()
      share.destroy()
    },
  }
}

const unknown = (): never => {
  throw new Error('the app has no port yet')
}

/** Where nothing was ever steered: there is nothing to see, and nothing to take away. */
const nothing: Steering = {
  addApp: unknown,
  removeApp: () => {},
  addRelease: unknown,
  reenter: unknown,
  inherited: () => [],
  removeRelease: () => {},
  releases: () => [],
  listeners: () => [],
  ports: () => [],
  lend: () => {},
  word: () => ({ active: 0, standby: 0, hold: false }),
  switchTo: unknown,
  accepted: () => null,
  hasHeirs: () => true,
  park: () => {},
  parked: () => 0,
  unpark: () => 0,
  closeParked: () => 0,
  probe: unknown,
  strangers: () => [],
  counters: () => ({}),
  close: () => {},
  destroy: () => {},
}
