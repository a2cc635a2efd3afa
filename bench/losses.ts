import { setTimeout as sleep } from 'node:timers/promises'
import { exampleFolder } from '../test/support/examples.ts'
import { type Kind, lostIn, startLoad } from '../test/support/load.ts'
import { startNode } from '../test/support/node.ts'
import { type Figure, type Measurement, zero } from './figures.ts'

const app = 'example-node'
const port = 8080
const switches = 200
const pauseMs = 20
const slowMs = 500
const kinds: Readonly<Partial<Record<Kind, number>>> = { short: 16, 'keep-alive': 4, slow: 24 }

export const losses: Measurement = {
  name: 'losses',
  title: 'What is lost',
  how: `${switches} switches to and fro, one after another, under clients that ask without pause: 16 with a connection a request, 4 on connections that stay, 24 whose requests take ${slowMs / 1000} s. Every request has one fate; nothing is retried. Beside each zero stands its bound: 3 in the number of tries, below which the true rate is with 95 % confidence.`,

  async measure(scope, rounds) {
    const node = await startNode(scope)
    const folder = exampleFolder(scope, 'node')
    await node.deploy(folder)
    await node.deploy(folder)
    const loads = await Promise.all(
      Object.entries(kinds).map(([kind, clients]) => startLoad({ kind: kind as Kind, port, clients, slowMs })),
    )
    scope.after(() => Promise.all(loads.map((load) => load[Symbol.asyncDispose]())))
    let drops = 0
    for (let i = 0; i < switches * rounds; i++) {
      const receipt = await node.rollback(app, { to: 1 + (i % 2) })
      drops += receipt.lost.listen_drops
      await sleep(pauseMs)
    }
    const figures: Figure[] = []
    for (const [place, kind] of Object.keys(kinds).entries()) {
      const fates = await loads[place]?.stop()
      if (fates !== undefined) figures.push(zero(`requests lost, ${kind} clients`, lostIn(fates), fates.begun))
    }
    return [...figures, zero('switches in which the kernel dropped at a listener', drops, switches * rounds)]
  },
}
