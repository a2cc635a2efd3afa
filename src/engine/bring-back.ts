/** After a reboot, or when everything was killed: what was active is started again. */
import { setTimeout as sleep } from 'node:timers/promises'
import { activeOf } from '../core/app.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { restartDelayMs } from '../instances/restarts.ts'
import { inBackground } from './background.ts'
import { daemon, tellFound } from './found.ts'
import { keyOf, type Node, runningOf } from './node.ts'
import { startActive } from './start.ts'
import { handOnWhatWaits } from './waiting.ts'

/**
 * Starts the active release in the background, so that the daemon answers. What it needs may come up later than it does (a database on the same
 * machine), so this tries for as long as nobody decides otherwise.
 */
export function bringBack(node: Node, app: AppName, release: ReleaseNumber): void {
  tellFound(node, app, release, 'brought-back', `${app} ${named(release)} did not run and is started again`)
  void handOnWhatWaits(node, app)
  void inBackground(node, `start ${keyOf(app, release)}`, () => untilStarted(node, app, release))
}

async function untilStarted(node: Node, app: AppName, release: ReleaseNumber): Promise<void> {
  const given = AbortSignal.any([node.closing, node.shuttingDown.signal])
  const wanted = (): boolean => {
    if (given.aborted || node.store.apps.find(app) === null || runningOf(node, app, release) !== null) return false
    const state = node.store.apps.state(app)
    return activeOf(state)?.number === release && !state.stopped
  }
  const start = { app, release, by: daemon, report: () => {}, stopped: false, signal: node.shuttingDown.signal }
  for (let tries = 1; wanted(); tries++) {
    if (node.locks.holder(app) === null) {
      using _lock = node.locks.take(app, `the start of ${named(release)}`, daemon)
      try {
        await startActive(node, start)
        return
      } catch (error) {
        if (!node.closing.aborted)
          node.log.error({ err: error, app, release }, 'the active release could not be started again')
      }
    }
    await sleep(restartDelayMs(tries), undefined, { signal: given }).catch(() => {})
  }
}
