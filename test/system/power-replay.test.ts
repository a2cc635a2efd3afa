/** A power cut at any moment: whatever of the daemon's writes came to the disk by then, the state is whole, and what was told is true. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { activeOf } from '../../src/core/app.ts'
import type { Receipt } from '../../src/core/documents.ts'
import { openHome } from '../../src/store/home.ts'
import { openStore } from '../../src/store/store.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { needs } from '../support/packages.ts'
import { cutsOf, recordCalls } from '../support/recorded-disk.ts'
import { goodServer, shopFolder } from '../support/shop.ts'
import { temporaryDirectory } from '../support/workspace.ts'

/** Files of the state: not logs, sockets, the program's own copy, nor SQLite's index, which it makes anew. */
const isState = (path: string): boolean => /^(cutover\.db(-wal)?$|releases(\/|$)|shared(\/|$))/.test(path)

const config = 'env_file: secrets\nbuild: sh -c "cat part1 part2 > built"\nretain: 2\nstandby: { keep: 1 }'
const files = (version: number) => ({
  secrets: `WORD=secret-${version}\n`,
  part1: `built of ${version}, `,
  part2: 'whole\n',
})

test('a power cut at any moment leaves releases whole and keeps what was told', {
  skip: asRoot || needs('strace'),
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-trace-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const trace = join(directory, 'trace')
  const node = await startNode(t)
  const { database, directory: home } = openHome(node.place.home)
  const before = { 'cutover.db': readFileSync(database), 'cutover.db-wal': readFileSync(`${database}-wal`) }
  const daemon = Number(readFileSync(node.place.lock, 'utf8'))
  await recordCalls(t, daemon, trace)
  const told: { readonly at: number; readonly active: number }[] = []
  const tell = ({ release }: Receipt) => told.push({ at: Date.now() / 1000, active: release })
  for (const version of [1, 2, 3, 4])
    tell(await node.deploy(shopFolder(t, { config, server: goodServer, files: files(version) })))
  tell(await node.rollback('shop'))
  tell(await node.operate('stop', 'shop'))
  tell(await node.operate('start', 'shop'))
  await node.settled('shop')
  await node.killDaemon()

  const cuts = cutsOf(readFileSync(trace, 'latin1'), home, before, isState)
  t.diagnostic(`${cuts.length} power cuts`)
  assert.ok(cuts.length > 100)
  for (const [index, cut] of cuts.entries()) {
    const left = openHome(join(directory, String(index)))
    cut.restore(left.directory)
    const last = told.findLastIndex(({ at }) => at < cut.at)
    try {
      assertWhole(left)
      // What comes next may be written down already, and nobody was told yet.
      if (last >= 0)
        assertActive(
          left,
          told.slice(last, last + 2).map(({ active }) => active),
        )
    } catch (error) {
      throw new Error(`after ${cut.after} (cut ${index} of ${cuts.length})`, { cause: error })
    }
    rmSync(left.directory, { recursive: true })
  }
})

test('a rollback to a standby that is awake waits for one sync of the disk before traffic moves', {
  skip: asRoot || needs('strace'),
}, async (t) => {
  const trace = join(temporaryDirectory(t), 'trace')
  const node = await startNode(t)
  const folder = shopFolder(t)
  await node.deploy(folder)
  await node.deploy(folder)
  await node.settled('shop')
  await recordCalls(t, Number(readFileSync(node.place.lock, 'utf8')), trace, ['fsync', 'fdatasync', 'syncfs', 'bpf'])
  await node.rollback('shop')
  await node.killDaemon()
  const calls = readFileSync(trace, 'latin1').split('\n')
  const moved = calls.findIndex((call) => call.includes('BPF_MAP_UPDATE_ELEM'))
  assert.ok(moved > 0, 'the switch is not among the calls')
  assert.equal(calls.slice(0, moved).filter((call) => call.includes('sync(')).length, 1)
})

type Home = ReturnType<typeof openHome>

/** The database opens and is sound, and every release that could serve has all its files. */
function assertWhole(home: Home): void {
  const store = openStore(home.database, assert.ifError)
  const releases = store.apps.find('shop') === null ? [] : store.apps.state('shop').releases
  store.close()
  using database = new DatabaseSync(home.database)
  assert.deepEqual({ ...database.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' })
  for (const { number } of releases.filter(({ onDisk, liveAt }) => onDisk && liveAt !== null)) {
    const release = home.release('shop', number)
    assert.equal(readFileSync(join(release, 'server.mjs'), 'utf8'), goodServer)
    assert.equal(readFileSync(join(release, 'built'), 'utf8'), `built of ${number}, whole\n`)
    assert.match(readFileSync(`${release}.env.json`, 'utf8'), new RegExp(`"WORD":"secret-${number}"`))
  }
}

function assertActive(home: Home, possible: readonly number[]): void {
  const store = openStore(home.database, assert.ifError)
  const active = activeOf(store.apps.state('shop'))?.number
  store.close()
  assert.ok(possible.includes(active ?? 0), `v${active} is active, and not ${possible.join(' or ')}`)
}
