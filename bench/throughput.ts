import { setTimeout as sleep } from 'node:timers/promises'
import { exampleFolder } from '../test/support/examples.ts'
import { answeredIn, type Kind, startLoad } from '../test/support/load.ts'
import { startNode } from '../test/support/node.ts'
import { bareFolder, barePort, startBare } from './bare-app.ts'
import { type Figure, figure, type Measurement } from './figures.ts'
import { ratiosOf } from './statistics.ts'

const port = 8080
const runs = 10
const runMs = 800
const warmUpMs = 200
const kinds: readonly Kind[] = ['short', 'keep-alive']

export const throughput: Measurement = {
  name: 'throughput',
  title: 'Throughput through steering',
  how: `Requests per second of the Node example, steered, in those of the same app without Cutover, by 16 clients that ask without pause; ${runs} pairs of runs of ${runMs / 1000} s in turns, each pair one ratio. Clients, app and whatever else runs share the processors, so that the ratio counts, not the rate; and Node is slow enough on both sides to hide a small cost.`,

  async measure(scope, rounds) {
    const node = await startNode(scope)
    await node.deploy(exampleFolder(scope, 'node'))
    await startBare(scope, bareFolder(scope))
    const figures: Figure[] = []
    for (const kind of kinds) {
      const rates = { steered: [] as number[], bare: [] as number[] }
      for (let run = 0; run < runs * rounds; run++) {
        // Who comes first changes, so that a machine that gets slower favours neither.
        const steeredFirst = run % 2 === 0
        if (steeredFirst) rates.steered.push(await rateOf(kind, port))
        rates.bare.push(await rateOf(kind, barePort))
        if (!steeredFirst) rates.steered.push(await rateOf(kind, port))
      }
      figures.push(
        figure(`${kind}: steered to bare`, 'ratio', ratiosOf(rates.steered, rates.bare)),
        figure(`${kind}: steered`, '/s', rates.steered),
        figure(`${kind}: bare`, '/s', rates.bare),
      )
    }
    return figures
  },
}

async function rateOf(kind: Kind, port: number): Promise<number> {
  await using load = await startLoad({ kind, port })
  await sleep(warmUpMs)
  const before = await load.snapshot()
  await sleep(runMs)
  const after = await load.snapshot()
  await load.stop()
  return ((answeredIn(after) - answeredIn(before)) / (after.elapsedMs - before.elapsedMs)) * 1000
}
