/** `kill -9` of the daemon at every step of a deploy: nothing is lost, and the next daemon finishes or undoes it and says so. */
import '../../support/namespace.ts'
import { test } from 'node:test'
import { startBench } from '../../support/kills.ts'
import { asRoot } from '../../support/namespace.ts'

test('kill -9 of the daemon at each point of a deploy', { skip: asRoot }, async (t) => {
  const bench = await startBench(t)
  await bench.killAtEachPoint(t, { title: 'Deploy', from: 'deploy', act: ({ node, folder }) => node.deploy(folder) })
})
