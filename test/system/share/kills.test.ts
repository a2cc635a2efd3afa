/** `kill -9` of the daemon of an ordinary user at every step: nothing is lost that would not be lost anyway, and the next daemon finishes or undoes it. */
import '../../support/ordinary.ts'
import { test } from 'node:test'
import { refusalsOfShare, standingBy, startBench, stopped } from '../../support/kills.ts'

const share = (operation: string): string => `${operation}, with share`

test('kill -9 of the daemon at each point of a deploy, without any privilege', async (t) => {
  const bench = await startBench(t)
  await bench.killAtEachPoint(t, {
    title: share('Deploy'),
    from: 'deploy',
    act: ({ node, folder }) => node.deploy(folder),
  })
})

test('kill -9 of the daemon at each point of a rollback, without any privilege', async (t) => {
  const bench = await startBench(t)
  await bench.killAtEachPoint(t, {
    title: share('Rollback to a standby that is awake'),
    from: 'rollback',
    act: async ({ node, app }) => node.rollback('shop', { to: (await app())?.standby[0] ?? 0 }),
  })
})

test('kill -9 of the daemon at each point of a stop, without any privilege', async (t) => {
  const bench = await startBench(t)
  const act = () => bench.node.operate('stop', 'shop')
  await bench.killAtEachPoint(t, { title: share('Stop'), from: 'stop', prepare: standingBy, act, ...refusalsOfShare })
})

test('kill -9 of the daemon at each point of a start, without any privilege', async (t) => {
  const bench = await startBench(t)
  const act = () => bench.node.operate('start', 'shop')
  await bench.killAtEachPoint(t, { title: share('Start'), from: 'start', prepare: stopped, act, ...refusalsOfShare })
})
