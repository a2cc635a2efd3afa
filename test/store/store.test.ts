import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { IllegalStep } from '../../src/core/states.ts'
import { openStore, type Store } from '../../src/store/store.ts'
import { temporaryDirectory } from '../support/workspace.ts'

const at = '2026-01-01T00:00:00.000Z'
const by = { uid: 0, name: 'ann', from: null }

function storeIn(t: TestContext): { readonly file: string; open(): Store } {
  const file = join(temporaryDirectory(t), 'cutover.db')
  const open = () => {
    const store = openStore(file, (error) => assert.fail(error))
    t.after(() => {
      try {
        store.close()
      } catch {
        // The test has closed it.
      }
    })
    return store
  }
  return { file, open }
}

/** A release that went through all states up to active. */
function goLive({ apps }: Store, app: string, release: number): void {
  apps.change(app, { type: 'stage', release, label: null, at })
  for (const type of ['begin', 'warm', 'ready'] as const) apps.change(app, { type, release, at })
  apps.change(app, { type: 'cutover', kind: 'deploy', release, at })
}

test('an app that is not there is refused, with the one that was meant', (t) => {
  const store = storeIn(t).open()
  const refused = (name: string, message: string) =>
    assert.throws(() => store.apps.get(name), { kind: 'refused', message })
  refused('shop', 'There is no app shop on this node.')
  for (const name of ['shop', 'billing']) store.apps.open(name, '/srv')
  refused('shpo', 'There is no app shpo on this node. Did you mean shop?')
  refused('biling', 'There is no app biling on this node. Did you mean billing?')
  refused('mail', 'There is no app mail on this node.')
})

test('what was written is there when the file is opened again', (t) => {
  const { open } = storeIn(t)
  const store = open()
  store.apps.open('shop', '/srv/shop')
  goLive(store, 'shop', 1)
  store.apps.keepWorkers('shop', 1, [
    { worker: 1, identity: { pid: 42, startTime: 4711 }, restarts: 2 },
    { worker: 2, identity: null, restarts: 0 },
  ])
  const id = store.operations.begin('shop', 'deploy', 2, 'copy', by)
  store.operations.step(id, 'build')
  store.close()

  const again = open()
  assert.deepEqual(
    again.apps.state('shop').releases.map(({ number, state }) => [number, state]),
    [[1, 'active']],
  )
  assert.deepEqual(again.apps.workers('shop', 1)[0]?.identity, { pid: 42, startTime: 4711 })
  assert.equal(again.apps.workers('shop', 1)[1]?.identity, null)
  const [unfinished, ...others] = again.operations.unfinished()
  assert.deepEqual(others, [])
  assert.deepEqual(
    { ...unfinished, at: '' },
    { id, app: 'shop', kind: 'deploy', release: 2, step: 'build', at: '', by },
  )
})

test('a step that the table does not know changes nothing', (t) => {
  const store = storeIn(t).open()
  store.apps.open('shop', '/srv/shop')
  goLive(store, 'shop', 1)
  const before = store.apps.state('shop')
  assert.throws(() => store.apps.change('shop', { type: 'drained', release: 1, at }), IllegalStep)
  assert.deepEqual(store.apps.state('shop'), before)
})

test('an app that was removed gives its slot back, and its release numbers go on', (t) => {
  const store = storeIn(t).open()
  const { slot } = store.apps.open('shop', '/srv/shop')
  goLive(store, 'shop', 1)
  store.apps.change('shop', { type: 'remove', at })
  store.apps.forget('shop')
  assert.equal(store.apps.find('shop'), null)
  assert.throws(() => store.apps.get('shop'), { kind: 'refused' })
  assert.equal(store.apps.open('other', '/srv/other').slot, slot)
  store.apps.open('shop', '/srv/shop')
  assert.throws(() => goLive(store, 'shop', 1))
  goLive(store, 'shop', 2)
})

test('connections that are cut later are in the receipt of the operation that left the release, each once', (t) => {
  const { operations, apps } = storeIn(t).open()
  apps.open('shop', '/srv/shop')
  assert.equal(operations.cutOf('shop', 1), 0)
  const id = operations.begin('shop', 'deploy', 2, 'cutover', by)
  operations.end(id, 'done', 'shop v2 is live', receipt)
  operations.cut('shop', 1, 3)
  operations.cut('shop', 1, 2)
  assert.equal(operations.cutOf('shop', 1), 3)
  assert.equal(operations.history('shop')[0]?.receipt?.lost.cut, 3)
})

test('of changes that are made together either all are there or none', (t) => {
  const { apps, operations, together } = storeIn(t).open()
  apps.open('shop', '/srv/shop')
  const change = (fails: boolean) => () => {
    apps.change('shop', { type: 'stage', release: 1, label: null, at })
    operations.note('shop', 'recovery', 1, 'done', 'staged')
    if (fails) throw new Error('the daemon ends here')
  }
  assert.throws(() => together(change(true)), /ends here/)
  assert.deepEqual([apps.state('shop').releases, operations.history('shop')], [[], []])
  together(change(false))
  assert.deepEqual([apps.state('shop').releases.length, operations.history('shop').length], [1, 1])
})

test('a file that is damaged inside is named, with what to do, wherever the damage is', (t) => {
  const { file, open } = storeIn(t)
  const store = open()
  store.apps.open('shop', '/srv/shop')
  for (let release = 1; release <= 100; release++) {
    store.events.add('note', `event ${release} `.repeat(50), 'shop', release)
    store.operations.note('shop', 'recovery', release, 'done', `note ${release} `.repeat(50))
  }
  store.close()
  const whole = readFileSync(file)
  for (let page = 4096; page < whole.length; page += 4096) {
    writeFileSync(file, Buffer.from(whole).fill(0x5a, page, page + 4096))
    assert.throws(open, {
      kind: 'failed',
      message: /cutover\.db, which holds .* is damaged: .*Apps and traffic go on.*put a copy of the file back/,
    })
  }
  writeFileSync(file, whole)
  assert.equal(open().operations.history('shop').length, 100)
})

test('so it is where the file is damaged while it is in use', (t) => {
  const { file, open } = storeIn(t)
  const { apps, operations } = open()
  apps.open('shop', '/srv/shop')
  for (let note = 0; note < 100; note++) operations.note('shop', 'recovery', 1, 'done', `note ${note} `.repeat(50))
  const says = { kind: 'failed', message: /is damaged: .*Apps and traffic go on/ } as const
  const other = new DatabaseSync(file)
  other.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  other.close()
  writeFileSync(file, readFileSync(file).fill(0x5a, 100))
  assert.throws(() => apps.state('shop'), says)
  assert.throws(() => operations.history('shop'), says)
  assert.throws(() => operations.begin('shop', 'stop', 1, 'stop', by), says)
})

test('a file of a newer layout, or one that is no database, is refused and left as it is', (t) => {
  const { file, open } = storeIn(t)
  const newer = new DatabaseSync(file)
  newer.exec('PRAGMA user_version = 99')
  newer.close()
  assert.throws(open, { kind: 'failed', message: /written by a newer Cutover \(layout 99/ })
  writeFileSync(file, 'this is no database, though it is long enough to be taken for one'.repeat(20))
  assert.throws(open, { kind: 'failed', message: /not a database/ })
})

const receipt = {
  schema: 1,
  app: 'shop',
  kind: 'deploy',
  release: 2,
  previous: 1,
  strategy: 'steer',
  state: 'active',
  label: null,
  ports: [8080],
  cutover: null,
  steps: [],
  accepted: {},
  remaining: 0,
  lost: { listen_drops: 0, cut: 0 },
  warnings: [],
  started: at,
  by,
} as const

test('the history of an app does not grow for ever, and a busy app does not push out what is known of another', (t) => {
  const { file, open } = storeIn(t)
  const { operations, apps } = open()
  apps.open('shop', '/srv/shop')
  apps.open('blog', '/srv/blog')
  operations.note('blog', 'recovery', 1, 'done', 'of the blog')
  const running = operations.begin('shop', 'deploy', 1, 'copy', by)
  for (let count = 0; count < 1100; count++) operations.note('shop', 'recovery', 1, 'done', `note ${count}`)
  assert.equal(operations.history('blog').length, 1)
  assert.equal(operations.history('shop').at(-1)?.text, 'note 1099')
  assert.deepEqual(
    operations.unfinished().map(({ id }) => id),
    [running],
  )
  using database = new DatabaseSync(file)
  const { count } = database.prepare('SELECT count(*) AS count FROM operations').get() ?? {}
  assert.equal(count, 1 + 1 + 1000)
})

test('an operation whose end could not be written down does not count as running beside the next one', (t) => {
  const { apps, operations } = storeIn(t).open()
  apps.open('shop', '/srv/shop')
  apps.open('blog', '/srv/blog')
  operations.begin('shop', 'remove', 1, 'stop', by)
  const other = operations.begin('blog', 'deploy', 1, 'copy', by)
  operations.note('shop', 'retire', 1, 'done', 'v1 is retired')
  assert.equal(operations.unfinished().length, 2, 'a note ends nothing')
  const next = operations.begin('shop', 'deploy', 2, 'copy', by)
  assert.deepEqual(
    operations.unfinished().map(({ id }) => id),
    [other, next],
  )
  assert.deepEqual(
    operations.history('shop').map(({ kind, outcome }) => [kind, outcome]),
    [
      ['remove', 'failed'],
      ['retire', 'done'],
      ['deploy', 'running'],
    ],
  )
})
