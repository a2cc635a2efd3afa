import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cgroupPids } from '../src/linux/cgroup.ts'
import { startLonelyDaemon } from '../test/support/lonely-daemon.ts'
import { startNode } from '../test/support/node.ts'
import { deployTinyApps, memoryOf, processorTimeOf } from '../test/support/tiny-apps.ts'
import { figure, type Measurement } from './figures.ts'

const apps = 10
const settleMs = 25_000
const watchMs = 20_000

export const rest: Measurement = {
  name: 'rest',
  title: 'At rest',
  how: `A daemon with ${apps} apps that nobody asks for anything, ${settleMs / 1000} s after the last deploy. Private is what it shares with no other process, of Node's own pages too: it runs from a file that no other process uses. Each app's port is held by one holder. The processor's time is counted over ${watchMs / 1000} s, as a share of one core.`,

  async measure(scope, rounds) {
    const node = await startNode(scope, startLonelyDaemon)
    await deployTinyApps(scope, node, apps)
    const pid = (await node.client.daemon())?.pid ?? 0
    await sleep(settleMs)
    const shares: number[] = []
    for (let i = 0; i < rounds; i++) {
      const before = processorTimeOf(pid)
      const began = performance.now()
      await sleep(watchMs)
      shares.push(((processorTimeOf(pid) - before) / (performance.now() - began)) * 1000 * 100)
    }
    const memory = memoryOf(pid)
    const holders = cgroupPids(join(node.cgroup, 'holders')).map((holder) => memoryOf(holder).private)
    return [
      figure('the daemon, private', 'MB', [memory.private], { atMost: 45 }),
      figure('the daemon, resident', 'MB', [memory.resident]),
      figure('a holder, private', 'MB', holders),
      figure('the daemon, of one core', '%', shares, { atMost: 0.5 }),
    ]
  },
}
