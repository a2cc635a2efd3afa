/** The end of an app of which there never was a release. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openEngine } from '../../src/engine/open.ts'
import { openHome } from '../../src/store/home.ts'
import { openStore } from '../../src/store/store.ts'
import { asRoot } from '../support/namespace.ts'
import { temporaryDirectory } from '../support/workspace.ts'
import { by, log } from './in-process.ts'

test('an app whose first deploy ended before its release was written down can be removed', {
  skip: asRoot,
}, async (t) => {
  const home = temporaryDirectory(t)
  const store = openStore(openHome(home).database, assert.fail)
  store.apps.open('shop', '/srv/shop')
  store.close()
  const engine = await openEngine({ home, log })
  try {
    assert.deepEqual((await engine.remove('shop', by, () => {})).ports, [])
    assert.deepEqual(engine.status(), [])
  } finally {
    engine.close()
  }
})
