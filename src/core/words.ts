/** The words of the product as types. Nothing here does anything. */

/** The name of an app: `[a-z0-9-]{1,40}`, checked where it enters (config, command line, API). */
export type AppName = string

/** A number given to an app by the store, 1 to 255: its index in the kernel's maps. */
export type AppId = number

/** The number of a release within its app, 1 to 65,535, never reused. 0 means "none". */
export type ReleaseNumber = number

export type ReleaseState =
  | 'staged'
  | 'starting'
  | 'warming'
  | 'ready'
  | 'active'
  | 'draining'
  | 'standby'
  | 'retiring'
  | 'retired'
  | 'failed'

export type Strategy = 'steer' | 'share' | 'stop-start'

/** A public TCP port that the config declares. */
export interface PortSpec {
  /** 1 to 65,535 */
  readonly port: number
  readonly protocol: 'tcp'
  /** The IP address at which the app is to be reached, `::` being every one; null: where it listens. */
  readonly address: string | null
}

/** Process id in the daemon's own pid namespace. */
export type Pid = number

/** `v4`: how people and logs name a release. */
export const named = (release: ReleaseNumber): string => `v${release}`
