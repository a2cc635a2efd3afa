/** The promise as an experiment: two live releases of an example, every kind of load that it understands at once, and switches to and fro. */
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { example, exampleFolder } from './examples.ts'
import { type Fates, type Kind, startLoad } from './load.ts'
import { startNode } from './node.ts'
import type { ServerName } from './servers.ts'

/** Enough of each kind that some are always in each of their phases; of slow ones that each phase of theirs meets switches. */
const clients: Readonly<Record<Kind, number>> = {
  short: 16,
  'keep-alive': 4,
  slow: 8,
  trickle: 8,
  websocket: 8,
  stream: 8,
}

export interface Switching {
  readonly switches: number
  /** Between two switches. */
  readonly pauseMs: number
}

export type FatesByKind = ReadonlyMap<Kind, Fates>

/** What became of all requests that were made meanwhile. What it starts ends with `t`. */
export async function switchUnderLoad(
  t: TestContext,
  name: ServerName,
  { switches, pauseMs }: Switching,
): Promise<FatesByKind> {
  const { app, port, protocol, kinds } = example(name)
  const node = await startNode(t)
  const folder = exampleFolder(t, name)
  await node.deploy(folder)
  await node.deploy(folder)
  const loads = await Promise.all(
    kinds.map(async (kind) => [kind, await startLoad({ kind, port, protocol, clients: clients[kind] })] as const),
  )
  t.after(() => Promise.all(loads.map(([, load]) => load[Symbol.asyncDispose]())))

  for (let i = 0; i < switches; i++) {
    await node.rollback(app, { to: 1 + (i % 2) })
    await pause(pauseMs)
  }
  return new Map(await Promise.all(loads.map(async ([kind, load]) => [kind, await load.stop()] as const)))
}
