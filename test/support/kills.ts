/**
 * `kill -9` of the daemon at every point of an operation, under load. The points are not listed anywhere: a run without a kill tells them, then
 * there is a run for each. What is found is kept as a table in docs/kills.md, which must know the same points.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createClient } from '../../src/client/client.ts'
import { type AppState, activeOf } from '../../src/core/app.ts'
import type { AppStatus, HistoryEntry } from '../../src/core/documents.ts'
import { CutoverError } from '../../src/core/errors.ts'
import { startInBackground } from '../../src/daemon/autostart.ts'
import { pidsIn } from '../../src/linux/enclosure.ts'
import { isAlive, sendSignal } from '../../src/linux/process.ts'
import { openHome } from '../../src/store/home.ts'
import { openStore } from '../../src/store/store.ts'
import { whoAnswers } from './app.ts'
import type { Orders } from './ending-daemon.ts'
import { pinsOf, releasesInKernel, wordOf } from './kernel-part.ts'
import { checkTable } from './kills-table.ts'
import { answeredIn, describeLosses, type Fates, type Load, lostIn, startLoad } from './load.ts'
import { startNode, type TestNode } from './node.ts'
import { bookOf, namesIn, pidsByRelease } from './running.ts'
import { shopFolder, shopPort } from './shop.ts'
import { eventually } from './workspace.ts'

const daemon = fileURLToPath(new URL('ending-daemon.ts', import.meta.url))

/**
 * Answers with its release, writes a line now and then, and lets go of a connection after some requests, so that it can be drained. It takes the
 * socket that it is given, if it is.
 */
const server = `
import { createServer } from 'node:http'
const server = createServer((request, response) => response.end(process.env.CUTOVER_RELEASE + ' pid ' + process.pid + '\\n'))
server.maxRequestsPerSocket = 10
server.listen(process.env.LISTEN_PID === String(process.pid) ? { fd: 3 } : ${shopPort})
setInterval(() => console.log('tick'), 10)
`

/** Of each of the two loads. */
const clients = 3

export interface Operation {
  /** Its name in the table. */
  readonly title: string
  readonly from: Orders['from']
  /** Brings the app to where the operation can be done, if it is not there. */
  prepare?(bench: Bench): Promise<void>
  act(bench: Bench): Promise<unknown>
  /** What may be lost: nothing if left out. Whoever is refused although the app was not stopped is lost in any case. */
  readonly mayLose?: (fates: Fates, kills: number) => boolean
  readonly lost?: string
}

/** A node with the app `shop`, under load. */
export interface Bench {
  readonly node: TestNode
  readonly folder: string
  /** From here on points count, where no operation says so. */
  count(): Promise<void>
  /** The app; null if there is none. */
  app(): Promise<AppStatus | null>
  /** Runs the operation without a kill, then once for each of its points. */
  killAtEachPoint(t: TestContext, operation: Operation): Promise<void>
}

/** Of an operation that refuses clients, or finds them refused, which is what was asked for: nothing else happens to them. */
export const refusals = {
  lost: 'nothing but what is refused',
  mayLose: (fates: Fates): boolean => lostIn(fates) === fates.refused,
}

/** The same with share, whose listeners can be ended, and not be told to refuse: whoever waits to be accepted in that moment is cut off. */
export const refusalsOfShare = {
  lost: 'nothing but what is refused, or waits to be accepted in that moment',
  mayLose: (fates: Fates, kills: number): boolean =>
    lostIn(fates) === fates.refused + fates.reset && fates.reset <= 2 * kills * clients,
}

/** The app serves, and a release stands by. */
export async function standingBy({ node, app, folder }: Bench): Promise<void> {
  if ((await app())?.stopped) await node.operate('start', 'shop')
  while (((await app())?.standby.length ?? 0) === 0) await node.deploy(folder)
}

export async function stopped({ node, app }: Bench): Promise<void> {
  if ((await app())?.stopped === false) await node.operate('stop', 'shop')
}

/** Sets it up, with these lines of config besides; a standby is there. */
export async function startBench(t: TestContext, config = ''): Promise<Bench> {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-kills-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const ran = join(directory, 'ran')
  let orders: Orders = { from: 'deploy', end: null, record: join(directory, 'none') }
  const command = () => [process.execPath, daemon, JSON.stringify(orders)]
  const node = await startNode(t, command())
  const client = createClient({ place: node.place, start: (place) => startInBackground(place, command()) })
  const folder = shopFolder(t, {
    server,
    config: `build: sh -c "echo building; sleep 0.05"
release: [sh, -c, 'echo $CUTOVER_RELEASE >> ${ran}; echo migrating; sleep 0.05']
warmup: [{path: /, times: 2}]
health: {path: /, healthy: 1}
retain: 2
drain_timeout: 5s
${config}`,
  })
  await node.deploy(folder)
  await node.deploy(folder)

  const app = async () => (await client.status()).apps[0] ?? null
  /** Ends the present daemon, if it lives, and starts one with these orders. */
  const startDaemon = async (wanted: Orders) => {
    orders = wanted
    if (node.daemon() !== null) await node.killDaemon()
    return await app()
  }
  const bench: Bench = {
    node,
    folder,
    app,
    count: async () => {
      const daemon = node.daemon()
      assert.ok(daemon)
      sendSignal(daemon, 'SIGUSR2')
      await pause(100)
    },
    killAtEachPoint: async (t, operation) => {
      const { from, title } = operation
      const record = join(directory, title.replaceAll(' ', '-'))
      await startDaemon({ from, end: null, record })
      await operation.prepare?.(bench)
      await quiet(bench)
      await operation.act(bench)
      await quiet(bench)
      const points = await lastPoints(record)

      await operation.prepare?.(bench)
      await using short = await startLoad({ kind: 'short', port: shopPort, clients, pauseMs: 10 })
      await using alive = await startLoad({ kind: 'keep-alive', port: shopPort, clients, pauseMs: 5 })
      const rows: { point: string; lost: string; said: string }[] = []
      const other = join(directory, 'other')
      await startDaemon({ from, end: points[0] ?? null, record: other })
      for (const [index, point] of points.entries()) {
        const next = { from, end: points[index + 1] ?? null, record: other }
        await t.test(`${title}, killed ${point}`, async () => {
          await operation.prepare?.(bench)
          await quiet(bench)
          const said = await killedOnce(bench, operation, { loads: [short, alive], next: () => startDaemon(next) })
          if (existsSync(ran)) assertOnceEach(readFileSync(ran, 'utf8'))
          for (const load of [short, alive]) {
            const fates = await load.snapshot()
            const fine = operation.mayLose?.(fates, index + 1) ?? lostIn(fates) === 0
            assert.ok(fine, `requests were lost: ${describeLosses(fates)}`)
          }
          rows.push({ point, lost: operation.lost ?? 'nothing', said })
        })
      }
      checkTable(title, rows)
    },
  }
  await quiet(bench)
  return bench
}

/** The points of an operation, when no more come. */
async function lastPoints(record: string): Promise<string[]> {
  for (let before = ''; ; ) {
    await pause(1000)
    const text = readFileSync(record, 'utf8')
    if (text === before) return text.trimEnd().split('\n')
    before = text
  }
}

interface Around {
  readonly loads: readonly Load[]
  /** Starts the next daemon. */
  readonly next: () => Promise<AppStatus | null>
}

/** One run that ends with a kill; resolves with what the next daemon says of it. */
async function killedOnce(bench: Bench, operation: Operation, { loads, next }: Around): Promise<string> {
  const { node } = bench
  const before = await bench.app()
  const refused = async () => (await Promise.all(loads.map((load) => load.snapshot()))).map(({ refused }) => refused)
  const refusedBefore = await refused()
  const died = node.daemon()
  assert.ok(died)
  const operations = await node.client.history('shop')
  const outcome = await operation.act(bench).then(
    () => null,
    (error: unknown) => error,
  )
  await eventually(() => !isAlive(died))
  if (outcome !== null) assertUnknown(outcome)

  const written = writtenState(node)
  const serves = before !== null && !before.stopped && written.serves
  await assertGoesOn(node, loads, serves)
  const pids = pidsByRelease(node, 'shop')
  const found = await next()
  const after = await quiet(bench)
  if (found !== null && after !== null && !after.stopped) assertAdopted(after, pids)
  await assertWhole(bench)

  if (serves) assert.deepEqual(await refused(), refusedBefore, 'clients were refused, and nothing had been stopped')

  const history = (await node.client.history('shop')).slice(operations.length)
  const done = history.find(({ kind }) => kind === operation.from)
  assert.notEqual(done?.outcome, 'running')
  if (operation.from === 'deploy' || operation.from === 'rollback')
    assert.equal(after?.active !== before?.active, done?.outcome === 'done')
  if (operation.from !== 'signal' && outcome === null) assert.equal(done?.outcome, 'done')
  const words = wordsOf(found, history, before)
  if (written.isUnderWay) {
    assert.notEqual(done?.text ?? '', '', 'history does not say what became of it')
    assert.notEqual(words, '', 'the next daemon does not say what it found')
  }
  if (words !== '') return words
  return done === undefined && operation.from !== 'signal' ? 'nothing: it had not begun' : 'nothing: all goes on'
}

/** What the daemon that died had written down. */
function writtenState({ place }: TestNode): { readonly serves: boolean; readonly isUnderWay: boolean } {
  const store = openStore(openHome(place.home).database, () => {})
  try {
    const state = store.apps.find('shop') === null ? null : store.apps.state('shop')
    const serves = state !== null && !state.stopped && activeOf(state) !== null
    return { serves, isUnderWay: store.operations.unfinished().length > 0 }
  } finally {
    store.close()
  }
}

/** Nothing of a client's waiting is lost either: it is told that the outcome is not known, and what command tells it. */
function assertUnknown(error: unknown): void {
  assert.ok(error instanceof CutoverError, String(error))
  assert.equal(error.kind, 'unknown')
  assert.match(error.message, /The daemon .*cutover (history|status)/s)
}

/** Without any daemon: what was served is served, and who logged goes on. */
async function assertGoesOn(node: TestNode, loads: readonly Load[], serves: boolean): Promise<void> {
  const { place, cgroup } = node
  const runs = (release: number) => pidsIn(join(cgroup, `shop.v${release}/w1`)).length > 0
  const writing = [...pidsByRelease(node, 'shop').keys()].find(runs)
  const log = writing === undefined ? null : join(place.home, 'logs', 'shop', `v${writing}.log`)
  const size = log === null ? 0 : statSync(log).size
  // With share whoever comes to a stopped app waits from when its release has a place.
  const waits = !serves && (bookOf(node)?.lodgers.length ?? 0) > 0
  for (const load of waits ? [] : loads) {
    const before = await load.snapshot()
    const sofar = (fates: Fates) => answeredIn(fates) + (serves ? 0 : fates.refused)
    await load.until('clients get answers without a daemon', (fates) => sofar(fates) > sofar(before) + 10)
  }
  if (log !== null && runs(writing ?? 0)) await eventually(() => statSync(log).size > size)
}

/** What serves is the very process that served before. */
function assertAdopted({ active, releases }: AppStatus, pids: ReadonlyMap<number, readonly number[]>): void {
  const before = pids.get(active ?? 0)
  if (before === undefined || before.length === 0) return
  const now = releases.find(({ release }) => release === active)?.pids ?? []
  assert.deepEqual(
    before.filter((pid) => !now.includes(pid)),
    [],
  )
}

const moving: ReadonlySet<string> = new Set(['staged', 'starting', 'warming', 'ready', 'draining', 'retiring'])

/** Waits until nothing is under way, and no worker is down. */
async function quiet(bench: Bench): Promise<AppStatus | null> {
  const deadline = performance.now() + 30_000
  for (;;) {
    const app = await bench.app()
    const underWay = app?.releases.some(
      ({ state, note }) => moving.has(state) || (state === 'active' && !app.stopped && note !== null),
    )
    if (app === null || (app.busy === null && !underWay)) return app
    assert.ok(performance.now() < deadline, JSON.stringify(app))
    await pause(20)
  }
}

/** State, files, processes and whoever moves traffic say the same, and nothing else is there. */
async function assertWhole(bench: Bench): Promise<void> {
  const { node } = bench
  const home = openHome(node.place.home)
  const look = async () => {
    const app = await bench.app()
    const store = openStore(home.database, () => {})
    const state = app === null ? null : store.apps.state('shop')
    store.close()
    const running = (app?.releases ?? []).filter(({ pids }) => pids.length > 0).map(({ release }) => release)
    const onDisk = (state?.releases ?? []).filter(({ onDisk }) => onDisk).map(({ number }) => number)
    const served = app === null || app.stopped ? 0 : (app.active ?? 0)
    const wanted = {
      files: onDisk.flatMap((release) => [`v${release}`, `v${release}.env.json`]).toSorted(),
      runs: running.toSorted((a, b) => a - b),
      known: running.toSorted((a, b) => a - b),
      word: served,
      answers: served === 0 ? null : `v${served}`,
    }
    const found = {
      files: namesIn(home.releases('shop')),
      runs: [...pidsByRelease(node, 'shop').keys()],
      ...told(node, state),
      answers: served === 0 ? null : await whoAnswers(shopPort),
    }
    assert.deepEqual(found, wanted)
  }
  const deadline = performance.now() + 10_000
  for (;;) {
    try {
      return await look()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await pause(50)
    }
  }
}

/** The releases that the kernel, or the book of the places, knows, and the one that gets new connections. */
function told(node: TestNode, state: AppState | null): { readonly known: readonly number[]; readonly word: number } {
  const book = bookOf(node)
  if (book !== null)
    return { known: book.lodgers.map(({ release }) => release).toSorted((a, b) => a - b), word: book.active }
  if (pinsOf(node) === null) return { known: [], word: 0 }
  const { inMaps, hooked } = releasesInKernel(node)
  assert.deepEqual(inMaps, hooked)
  return { known: hooked, word: wordOf(node, state === null ? 0 : 1) }
}

/** A release command runs once for a release, whatever happens. */
function assertOnceEach(ran: string): void {
  const releases = ran.trim().split('\n')
  assert.deepEqual(releases, [...new Set(releases)])
}

/** Release numbers stand for what they are, so that the page is the same each time it is made. */
function wordsOf(found: AppStatus | null, history: readonly HistoryEntry[], before: AppStatus | null): string {
  // Of an app that may be removed by the time that anybody asks, history says the same.
  const told = history.find(({ kind }) => kind === 'recovery') ?? history.findLast(({ kind }) => kind === 'remove')
  const text = found === null ? (told?.text ?? '') : (found.found ?? '')
  const active = before?.active ?? 0
  const back = history.find(({ kind }) => kind === 'rollback')?.release
  const named = (number: number): string =>
    number === active
      ? 'v4'
      : number === back || before?.standby.includes(number)
        ? 'v3'
        : number > active
          ? 'v5'
          : 'v2'
  return text.replace(/\bv(\d+)\b/g, (_, number: string) => named(Number(number)))
}
