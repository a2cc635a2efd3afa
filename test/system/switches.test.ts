/** The main promise: traffic moves between two live releases, and no request is lost or cut. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { example } from '../support/examples.ts'
import { answeredIn, assertNoneLost, fatesTable } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { type ServerName, serverNames } from '../support/servers.ts'
import { switchUnderLoad } from '../support/switching.ts'

const many = { switches: 200, pauseMs: 20 }
const some = { switches: 40, pauseMs: 50 }
const most: ReadonlySet<ServerName> = new Set(['node', 'python', 'gunicorn', 'caddy'])

for (const name of serverNames) {
  const switching = most.has(name) ? many : some
  const title = `${switching.switches} switches to and fro lose and cut nothing of a ${name} app`
  test(title, { skip: asRoot || example(name).skip }, async (t) => {
    const fates = await switchUnderLoad(t, name, switching)
    t.diagnostic(`\n${fatesTable(Object.fromEntries(fates))}`)
    for (const fate of fates.values()) assertNoneLost(fate)
    const short = fates.get('short')
    assert.ok(short && answeredIn(short) > switching.switches, 'there was too little load')
    assert.deepEqual(Object.keys(short.answered).sort(), ['v1', 'v2'])
  })
}
