/** `kill -9` of the daemon at every step of starting a worker again: the other one serves, and it is back. */
import '../../support/namespace.ts'
import { join } from 'node:path'
import { test } from 'node:test'
import { cgroupId, cgroupPids } from '../../../src/linux/cgroup.ts'
import { listenersOn } from '../../../src/linux/sock-diag.ts'
import { startBench } from '../../support/kills.ts'
import { lostIn } from '../../support/load.ts'
import { asRoot } from '../../support/namespace.ts'
import { shopPort } from '../../support/shop.ts'
import { eventually } from '../../support/workspace.ts'

/** Of each of the two loads. */
const clients = 3

test('kill -9 of the daemon at each point of starting a worker again', { skip: asRoot }, async (t) => {
  const bench = await startBench(t, 'workers: 2')
  let worker = 1
  await bench.killAtEachPoint(t, {
    title: 'One of two workers ends and is started again',
    from: 'signal',
    act: async ({ node, count }) => {
      const workers = [1, 2].map((number) => cgroupId(join(node.cgroup, `shop.v2/w${number}`)))
      await eventually(() => {
        const listening = listenersOn([shopPort]).map(({ cgroupId }) => cgroupId)
        return workers.every((id) => listening.includes(id))
      })
      await count()
      // Not twice in a row the same, which would be a crash loop.
      worker = worker === 1 ? 2 : 1
      const pids = () => cgroupPids(join(node.cgroup, `shop.v2/w${worker}`))
      const [killed = 0] = pids()
      process.kill(killed, 'SIGKILL')
      // Back, or the daemon that would start it has gone.
      await eventually(() => (pids().length > 0 && !pids().includes(killed)) || node.daemon() === null)
    },
    lost: 'what the worker was working on, a request a client',
    mayLose: (fates, kills) => fates.refused + fates.timedOut === 0 && lostIn(fates) <= (kills + 1) * clients,
  })
})
