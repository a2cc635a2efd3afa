/** The main promise: traffic moves between two live releases, and no request is lost or cut. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { example, exampleFolder, exampleNames } from '../support/examples.ts'
import { answeredIn, assertNoneLost, fatesTable, type Kind, startLoad } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'

const switches = 200
const clients: Readonly<Record<Kind, number>> = {
  short: 16,
  'keep-alive': 4,
  slow: 8,
  trickle: 8,
  websocket: 8,
  stream: 8,
}

for (const name of exampleNames) {
  const { skip, port, kinds } = example(name)
  test(`${switches} switches to and fro lose and cut nothing of a ${name} app`, { skip: asRoot || skip }, async (t) => {
    const node = await startNode(t)
    const folder = exampleFolder(t, name)
    await node.deploy(folder)
    await node.deploy(folder)
    const app = `example-${name}`
    const loads = await Promise.all(kinds.map((kind) => startLoad({ kind, port, clients: clients[kind] })))
    t.after(() => Promise.all(loads.map((load) => load[Symbol.asyncDispose]())))

    for (let i = 0; i < switches; i++) {
      await node.rollback(app, { to: 1 + (i % 2) })
      await pause(20)
    }
    const fates = new Map(await Promise.all(loads.map(async (load, i) => [kinds[i] ?? '', await load.stop()] as const)))
    t.diagnostic(`\n${fatesTable(Object.fromEntries(fates))}`)
    for (const fate of fates.values()) assertNoneLost(fate)
    const short = fates.get('short')
    assert.ok(short && answeredIn(short) > 1000, 'there was too little load')
  })
}
