/** The main promise without any privilege: traffic moves between two live releases, and no request is lost or cut. */
import '../../support/ordinary.ts'
import assert from 'node:assert/strict'
import process from 'node:process'
import { test } from 'node:test'
import { example } from '../../support/examples.ts'
import { answeredIn, assertNoneLost, fatesTable } from '../../support/load.ts'
import { givenForLong } from '../../support/servers.ts'
import { switchUnderLoad } from '../../support/switching.ts'

const switches = 200

test('these tests have no privilege', () => {
  assert.notEqual(process.getuid?.(), 0)
  assert.notEqual(process.geteuid?.(), 0)
})

for (const name of givenForLong) {
  test(`${switches} cutovers and rollbacks by an ordinary user lose and cut nothing of ${name}`, {
    skip: example(name).skip,
  }, async (t) => {
    const fates = await switchUnderLoad(t, name, { switches, pauseMs: 20 })
    t.diagnostic(`\n${fatesTable(Object.fromEntries(fates))}`)
    for (const fate of fates.values()) assertNoneLost(fate)
    const short = fates.get('short')
    assert.ok(short && answeredIn(short) > switches, 'there was too little load')
    assert.deepEqual(Object.keys(short.answered).sort(), ['v1', 'v2'])
  })
}
