/** `kill -9` of the daemon at every step of stop, start and remove: once clients are refused the next daemon goes on, before that nothing was done. */
import '../../support/namespace.ts'
import { test } from 'node:test'
import { type Bench, refusals, standingBy, startBench, stopped } from '../../support/kills.ts'
import { asRoot } from '../../support/namespace.ts'

const skip = asRoot

test('kill -9 of the daemon at each point of a stop, and of a start', { skip }, async (t) => {
  const bench = await startBench(t)
  const stop = () => bench.node.operate('stop', 'shop')
  const start = () => bench.node.operate('start', 'shop')
  await bench.killAtEachPoint(t, { title: 'Stop', from: 'stop', prepare: standingBy, act: stop, ...refusals })
  await bench.killAtEachPoint(t, { title: 'Start', from: 'start', prepare: stopped, act: start, ...refusals })
})

test('kill -9 of the daemon at each point of a remove', { skip }, async (t) => {
  const bench = await startBench(t)
  const act = () => bench.node.operate('remove', 'shop')
  const prepare = async ({ node, app, folder }: Bench) => void ((await app()) ?? (await node.deploy(folder)))
  await act()
  await bench.killAtEachPoint(t, { title: 'Remove', from: 'remove', prepare, act, ...refusals })
})
