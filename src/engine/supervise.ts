/** What happens when a worker ends or is started again: it is told, and clients that wait meanwhile are looked after. */
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import type { InstanceEvent } from '../instances/instance.ts'
import { describeExit } from '../linux/process.ts'
import { type Node, type Running, runningOf } from './node.ts'
import { handOnWhatWaits } from './waiting.ts'

/** The listener for the events of one release's instance. */
export function supervisorOf(node: Node, app: AppName, release: ReleaseNumber): (event: InstanceEvent) => void {
  const handle = (event: InstanceEvent): void => {
    const running = runningOf(node, app, release)
    if (running === null) return
    node.store.apps.keepWorkers(app, release, running.instance.workers())
    const who = `worker ${event.worker} of ${app} ${named(release)}`
    switch (event.type) {
      case 'exit': {
        // Nobody starts it again: a candidate, or a release that is being ended. Whoever does that tells what happens.
        if (event.restartInMs === null) return
        const when = event.restartInMs === 0 ? 'at once' : `in ${event.restartInMs / 1000} s`
        const how = describeExit(event.status)
        tell(
          node,
          running,
          'worker-exited',
          `${who} (pid ${event.pid}) ${how}; it is started again ${when}`,
          event.restartInMs === 0,
        )
        void handOnWhatWaits(node, app)
        return
      }
      case 'started':
        tell(node, running, 'worker-started', `${who} runs again as pid ${event.identity.pid}`, false)
        return
      case 'unstartable':
        tell(node, running, 'worker-unstartable', `${who} could not be started: ${event.reason}`, false)
        return
    }
  }
  return (event) => {
    try {
      handle(event)
    } catch (error) {
      // A full disk must not end the daemon because a worker ended.
      node.log.error({ err: error, app, release }, 'what happened to a worker could not be written down')
    }
  }
}

/** History has the first exit after a healthy time; `events` has all. */
function tell(node: Node, { app, release }: Running, event: string, text: string, inHistory: boolean): void {
  node.store.events.add(event, text, app, release)
  node.log.warn({ app, release, event }, text)
  if (inHistory) node.store.operations.note(app, 'worker', release, 'failed', text)
}
