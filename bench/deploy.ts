import { endGroup, exampleFolder } from '../test/support/examples.ts'
import { startNode } from '../test/support/node.ts'
import { bareFolder, startBare } from './bare-app.ts'
import { figure, type Measurement } from './figures.ts'
import { readLongestBlock, startWatched, watchLoop } from './loop-watch.ts'

const tries = 12
/** `health: auto` wants two good answers, 100 ms apart. */
const healthRhythmMs = 100

export const deploy: Measurement = {
  name: 'deploy',
  title: 'A deploy, beyond what the app itself takes',
  how: `${tries} deploys of the Node example (4 files), as a client waits for them, in turns with the same app without Cutover: from its spawn until it says that it listens. The overhead is a deploy less the start of its neighbour less ${healthRhythmMs} ms, which two health checks in their rhythm take. The first deploy of a node, which also loads and proves the kernel's part, stands by itself. The longest block is the daemon's, seen by a timer of 1 ms within it; the process that measures was watched in the same way.`,

  async measure(scope, rounds) {
    const node = await startNode(scope, startWatched)
    const folder = exampleFolder(scope, 'node')
    const bare = bareFolder(scope)
    const own = watchLoop()
    scope.after(() => own.end())

    await readLongestBlock(node.place)
    const began = performance.now()
    await node.deploy(folder)
    const first = { total: performance.now() - began, block: await readLongestBlock(node.place) }
    const firstBare = await startBare(scope, bare)
    await endGroup(firstBare.child)

    const times = { total: [] as number[], bare: [] as number[], overhead: [] as number[] }
    const blocks = { daemon: [] as number[], here: [] as number[] }
    for (let i = 0; i < tries * rounds; i++) {
      await node.settled('example-node')
      await readLongestBlock(node.place)
      own.longestMs()
      const began = performance.now()
      await node.deploy(folder)
      const total = performance.now() - began
      blocks.here.push(own.longestMs())
      blocks.daemon.push(await readLongestBlock(node.place))
      const { child, listensMs } = await startBare(scope, bare)
      await endGroup(child)
      times.total.push(total)
      times.bare.push(listensMs)
      times.overhead.push(total - listensMs - healthRhythmMs)
    }
    return [
      figure('a deploy, call → receipt', 'ms', times.total),
      figure('the app alone, spawn → listens', 'ms', times.bare),
      figure('overhead of a deploy', 'ms', times.overhead, { atMost: 300 }),
      figure('overhead of the first deploy of a node', 'ms', [first.total - firstBare.listensMs - healthRhythmMs]),
      figure("the daemon's longest event loop block in a deploy", 'ms', blocks.daemon),
      figure('the same of a process that only waits', 'ms', blocks.here),
      figure("the daemon's longest block in the first deploy of a node", 'ms', [first.block]),
    ]
  },
}
