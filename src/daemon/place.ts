/** Where a daemon is found: the files of `$CUTOVER_HOME` that daemon and commands share. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

export interface Place {
  /** `$CUTOVER_HOME`, absolute. */
  readonly home: string
  /** HTTP and JSON are spoken here. */
  readonly socket: string
  /** Locked by the one daemon that lives here. */
  readonly lock: string
  /** What a daemon in the background prints. */
  readonly log: string
}

export const placeAt = (home: string): Place => ({
  home: resolve(home),
  socket: join(resolve(home), 'cutover.sock'),
  lock: join(resolve(home), 'daemon.lock'),
  log: join(resolve(home), 'daemon.log'),
})

/** `$CUTOVER_HOME`; without it `/var/lib/cutover` for root, and a folder of their own (XDG base directories) for everybody else. */
export function defaultPlace(environment: NodeJS.ProcessEnv = process.env, uid = process.geteuid?.() ?? 0): Place {
  const { CUTOVER_HOME, XDG_STATE_HOME } = environment
  if (CUTOVER_HOME) return placeAt(CUTOVER_HOME)
  if (uid === 0) return placeAt('/var/lib/cutover')
  return placeAt(join(XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'cutover'))
}
