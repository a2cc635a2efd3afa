/** What happens when a worker ends or is started again: it is told, and clients that waited meanwhile are handed on. */
import { setTimeout as sleep } from 'node:timers/promises'
import { activeOf } from '../core/app.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import type { InstanceEvent } from '../instances/instance.ts'
import { describeExit } from '../linux/process.ts'
import { keyOf, type Node, type Running, runningOf } from './node.ts'

/** The listener for the events of one release's instance. */
export function supervisorOf(node: Node, app: AppName, release: ReleaseNumber): (event: InstanceEvent) => void {
  return (event) => {
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
        tell(node, running, 'worker-exited', `${who} (pid ${event.pid}) ${how}; it is started again ${when}`, true)
        void handOnWhatWaits(node, running)
        return
      }
      case 'started':
        tell(node, running, 'worker-started', `${who} runs again as pid ${event.identity.pid}`, false)
        return
      case 'unstartable':
        tell(node, running, 'worker-unstartable', `${who} could not be started: ${event.reason}`, true)
        return
    }
  }
}

function tell(node: Node, { app, release }: Running, event: string, text: string, inHistory: boolean): void {
  node.store.events.add(event, text, app, release)
  node.log.warn({ app, release, event }, text)
  if (inHistory) node.store.operations.note(app, 'worker', release, 'failed', text)
}

const lookMs = 20

/**
 * While the active release has no listener new connections are parked by the kernel for `hold`. This waits until it listens again and hands
 * them on; those for whom it took too long are closed, and counted.
 */
export function handOnWhatWaits(node: Node, running: Running): Promise<void> {
  const key = `hold ${keyOf(running.app, running.release)}`
  const underWay = node.background.get(key)
  if (underWay !== undefined) return underWay
  const work = handOn(node, running).finally(() => node.background.delete(key))
  node.background.set(key, work)
  return work
}

async function handOn(node: Node, running: Running): Promise<void> {
  const steering = node.steering()
  const { app, release, ref } = running
  const isActive = () =>
    runningOf(node, app, release) === running && activeOf(node.store.apps.state(app))?.number === release
  const port = running.config.ports[0]?.port
  while (!node.closing.aborted && isActive()) {
    if (steering.listeners(ref).some((listener) => listener.port === port)) {
      const waited = steering.parked(ref.app) > 0 ? steering.unpark(ref.app) : 0
      if (waited > 0)
        node.store.events.add(
          'handed-on',
          `${waited} connections had waited for ${app} ${named(release)}`,
          app,
          release,
        )
      return
    }
    const closed = steering.closeParked(ref.app)
    if (closed > 0) {
      const text = `${closed} connections had waited longer than hold and were closed`
      node.store.events.add('held-too-long', text, app, release)
      node.store.operations.note(app, 'worker', release, 'failed', text)
    }
    await sleep(lookMs, undefined, { signal: node.closing }).catch(() => {})
  }
}
