/** `kill -9` of the daemon at every step of stop, start and remove: once clients are refused the next daemon goes on, before that nothing was done. */
import '../../support/namespace.ts'
import { test } from 'node:test'
import { type Bench, startBench } from '../../support/kills.ts'
import { type Fates, lostIn } from '../../support/load.ts'
import { asRoot } from '../../support/namespace.ts'

const skip = asRoot

/** Clients are refused while the app is stopped, which is what was asked for; nothing else happens to them. */
const refusals = { lost: 'nothing but what is refused', mayLose: (fates: Fates) => lostIn(fates) === fates.refused }

async function started({ node, app }: Bench): Promise<void> {
  if ((await app())?.stopped) await node.operate('start', 'shop')
}

async function stopped({ node, app }: Bench): Promise<void> {
  if ((await app())?.stopped === false) await node.operate('stop', 'shop')
}

async function deployedTwice({ node, app, folder }: Bench): Promise<void> {
  while (((await app())?.standby.length ?? 0) === 0) await node.deploy(folder)
}

test('kill -9 of the daemon at each point of a stop, and of a start', { skip }, async (t) => {
  const bench = await startBench(t)
  const stop = () => bench.node.operate('stop', 'shop')
  const start = () => bench.node.operate('start', 'shop')
  const withStandby = async (bench: Bench) => {
    await started(bench)
    await deployedTwice(bench)
  }
  await bench.killAtEachPoint(t, { title: 'Stop', from: 'stop', prepare: withStandby, act: stop, ...refusals })
  await bench.killAtEachPoint(t, { title: 'Start', from: 'start', prepare: stopped, act: start, ...refusals })
})

test('kill -9 of the daemon at each point of a remove', { skip }, async (t) => {
  const bench = await startBench(t)
  const act = () => bench.node.operate('remove', 'shop')
  const prepare = async ({ node, app, folder }: Bench) => void ((await app()) ?? (await node.deploy(folder)))
  await act()
  await bench.killAtEachPoint(t, { title: 'Remove', from: 'remove', prepare, act, ...refusals })
})
