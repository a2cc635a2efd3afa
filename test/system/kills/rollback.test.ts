/** `kill -9` of the daemon at every step of a rollback: nothing is lost, and the next daemon finishes or undoes it and says so. */
import '../../support/namespace.ts'
import { test } from 'node:test'
import { startBench } from '../../support/kills.ts'
import { asRoot } from '../../support/namespace.ts'

const skip = asRoot

test('kill -9 of the daemon at each point of a rollback to a standby that is awake', { skip }, async (t) => {
  const bench = await startBench(t)
  await bench.killAtEachPoint(t, {
    title: 'Rollback to a standby that is awake',
    from: 'rollback',
    act: async ({ node, app }) => node.rollback('shop', { to: (await app())?.standby[0] ?? 0 }),
  })
})

test('kill -9 of the daemon at each point of a rollback to a release that has to be started', { skip }, async (t) => {
  const bench = await startBench(t, 'standby: { keep: 0 }')
  await bench.killAtEachPoint(t, {
    title: 'Rollback to a release that has to be started',
    from: 'rollback',
    act: async ({ node, app }) => node.rollback('shop', { to: (await app())?.active === 1 ? 2 : 1 }),
  })
})
