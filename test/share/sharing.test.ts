/** Who has which place, and what the next daemon makes of it: the strategy without a daemon, as an ordinary user. */
import '../support/ordinary.ts'
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { killIn, pidsIn } from '../../src/linux/enclosure.ts'
import { shutDown } from '../../src/linux/sockets.ts'
import { readBook, writeBook } from '../../src/strategies/share/book.ts'
import { makeGroup } from '../../src/strategies/share/group.ts'
import { openSharing, type Sharing } from '../../src/strategies/share/sharing.ts'
import { maxAlive } from '../../src/strategies/steering.ts'
import { eventually, temporaryDirectory } from '../support/workspace.ts'
import { connected, lodgerIn, port, temporaryMark } from './fixtures.ts'

const app = 1
const ports = [{ port, address: null }]

interface Bench {
  readonly book: string
  readonly mark: string
  /** What moves traffic now. */
  share(): Sharing
  /** A process of the release that has its place; what it lives in. */
  add(release: number): string
  /** The daemon ends, and the next one finds what there is. `meanwhile` is done between. */
  next(meanwhile?: () => Promise<void>): Promise<Sharing>
}

function bench(t: TestContext, holdMs = 0): Bench {
  const book = join(temporaryDirectory(t), 'places.json')
  let share: Sharing | null = null
  const mark = temporaryMark(t, () => share?.destroy())
  const open = () => openSharing({ book, cgroup: mark })
  share = open()
  share.addApp(app, { ports: [port], holdMs, inherit: true })
  const bench: Bench = {
    book,
    mark,
    share: () => share as Sharing,
    add: (release) => {
      const cgroup = `${mark}/shop.v${release}`
      bench.share().addRelease({ app, release }, cgroup, ports)
      const fds = bench.share().inherited({ app, release })
      lodgerIn(
        cgroup,
        fds.map(({ fd }) => fd),
      )
      return cgroup
    },
    next: async (meanwhile = async () => {}) => {
      share?.close()
      await meanwhile()
      await new Promise(setImmediate)
      share = open()
      return share
    },
  }
  return bench
}

const gone = (name: string): Promise<unknown> => {
  killIn(name)
  return eventually(() => pidsIn(name).length === 0)
}

/** The place of a release, as its listeners tell. */
const placeIn = (share: Sharing, release: number): number | undefined => share.listeners({ app, release })[0]?.place

/** Where a client waits who comes now. */
async function waitingPlace(share: Sharing): Promise<number | undefined> {
  const before = new Map(share.listeners({ app, release: 0 }).map(({ place, waiting }) => [place, waiting]))
  const client = await connected()
  const found = share.listeners({ app, release: 0 }).find(({ place, waiting }) => waiting > (before.get(place) ?? 0))
  client.destroy()
  return found?.place
}

test('eight releases have a place each, a ninth is refused, and a place that is given back is the next one’s', (t) => {
  const { share, add } = bench(t)
  for (let release = 1; release <= maxAlive; release++) add(release)
  const places = share()
    .releases()
    .map(({ release }) => placeIn(share(), release))
  assert.deepEqual(places, [0, 1, 2, 3, 4, 5, 6, 7])
  assert.throws(() => add(9), { kind: 'refused', message: /^8 releases of this app run already/ })
  share().removeRelease({ app, release: 4 })
  add(9)
  assert.equal(placeIn(share(), 9), 3)
})

test('a port that another app of the node has is refused, and free as soon as that gives it up', (t) => {
  const { share, add } = bench(t)
  add(1)
  assert.throws(() => share().addApp(2, { ports: [port], holdMs: 0, inherit: true }), { kind: 'refused' })
  share().removeApp(app)
  share().addApp(2, { ports: [port], holdMs: 0, inherit: true })
  share().removeApp(2)
  share().addApp(app, { ports: [port], holdMs: 0, inherit: true })
})

test('a port stays at its address while the app is live', (t) => {
  const { share, add } = bench(t)
  add(1)
  assert.throws(() => share().addRelease({ app, release: 2 }, 'nowhere', [{ port, address: '127.0.0.1' }]), {
    kind: 'refused',
    message: /^Port 8080 is held at every address, and share cannot move it to 127\.0\.0\.1 while the app is live/,
  })
})

test('the book is whole or as it was, and gone with the last app', (t) => {
  const { book, share, add } = bench(t)
  add(1)
  share().switchTo(app, 1, { hold: false })
  writeFileSync(`${book}.new`, '[{"app":')
  const [entry] = readBook(book) ?? []
  assert.deepEqual([entry?.active, entry?.at, entry?.lodgers.map(({ release }) => release)], [1, 0, [1]])
  writeBook(book, [])
  assert.equal(existsSync(book), false)
  assert.deepEqual(readBook(book), [])
})

test('the next daemon finds each release at its place, and clients where they were', async (t) => {
  const { share, add, next } = bench(t)
  for (const release of [1, 2, 3]) add(release)
  share().switchTo(app, 2, { hold: false })
  const found = await next()
  assert.deepEqual(
    found.releases().map(({ release }) => [release, placeIn(found, release)]),
    [
      [1, 0],
      [2, 1],
      [3, 2],
    ],
  )
  assert.deepEqual(found.word(app), { active: 2, standby: 0, hold: false })
  assert.equal(await waitingPlace(found), 1)
})

test('of a holder that is killed with its daemon the next one loses nobody who waits', async (t) => {
  const { mark, share, add, next } = bench(t)
  for (const release of [1, 2, 3]) add(release)
  share().switchTo(app, 2, { hold: false })
  const clients = [await connected(), await connected()]
  const found = await next(async () => void (await gone(`${mark}/places`)))
  await eventually(() => pidsIn(`${mark}/places`).length === 1)
  assert.equal(found.listeners({ app, release: 2 })[0]?.waiting, 2)
  assert.deepEqual(
    found.listeners({ app, release: 0 }).map(({ place }) => place),
    [0, 1, 2, 3, 4, 5, 6, 7, 8],
  )
  for (const release of [1, 3, 2]) {
    found.switchTo(app, release, { hold: false })
    assert.equal(await waitingPlace(found), release - 1)
  }
  for (const client of clients) client.destroy()
})

test('so it is where places between were given back, but for those who waited', async (t) => {
  const { mark, share, add, next } = bench(t)
  for (const release of [1, 2, 3, 4]) add(release)
  share().switchTo(app, 4, { hold: false })
  for (const release of [1, 3]) {
    await gone(`${mark}/shop.v${release}`)
    share().removeRelease({ app, release })
  }
  const found = await next(async () => void (await gone(`${mark}/places`)))
  assert.equal(await waitingPlace(found), 3)
  found.switchTo(app, 2, { hold: false })
  assert.equal(await waitingPlace(found), 1)
})

test('where everything was killed nothing is known, and the port is free', async (t) => {
  const { mark, share, add, next } = bench(t)
  add(1)
  share().switchTo(app, 1, { hold: true })
  const found = await next(async () => void (await gone(mark)))
  assert.equal(found.has(app), false)
  const stranger = createServer().listen(port)
  await new Promise((resolve) => stranger.once('listening', resolve))
  await new Promise((resolve) => stranger.close(resolve))
})

test('a holder of which nobody has written is ended', async (t) => {
  const { mark, share, add, next } = bench(t)
  add(1)
  share().switchTo(app, 1, { hold: false })
  const found = await next(async () => {
    // What a daemon leaves that is killed right after it made the places of one more port, or of another app.
    for (const name of ['1-8081', '2-8082']) {
      const at = Number(name.slice(2))
      makeGroup({ port: at, address: null }, `${mark}/places/${name}`)[Symbol.dispose]()
    }
    await eventually(() => pidsIn(`${mark}/places`).length === 3)
  })
  await eventually(() => pidsIn(`${mark}/places`).length === 1)
  assert.equal(await waitingPlace(found), 0)
})

test('a release that ends its listener by itself costs the active one nobody', async (t) => {
  const { mark, share, add } = bench(t)
  for (const release of [1, 2, 3, 4]) add(release)
  share().switchTo(app, 2, { hold: false })
  const fds = share().inherited({ app, release: 3 })
  shutDown({ fd: fds[0]?.fd ?? -1 } as Parameters<typeof shutDown>[0])
  const clients = [await connected(), await connected()]
  assert.equal(share().listeners({ app, release: 2 })[0]?.waiting, 2)
  assert.deepEqual(share().listeners({ app, release: 3 }), [])
  await gone(`${mark}/shop.v3`)
  share().removeRelease({ app, release: 3 })
  assert.equal(share().listeners({ app, release: 2 })[0]?.waiting, 2)
  add(5)
  assert.equal(placeIn(share(), 5), 2)
  for (const [release, place] of [
    [4, 3],
    [5, 2],
    [1, 0],
  ] as const) {
    share().switchTo(app, release, { hold: false })
    assert.equal(await waitingPlace(share()), place)
  }
  for (const client of clients) client.destroy()
})

test('a daemon that is killed while it stops an app is followed by one that refuses its clients', async (t) => {
  const { share, add, next } = bench(t)
  add(1)
  share().switchTo(app, 1, { hold: false })
  share().switchTo(app, 0, { hold: false })
  await assert.rejects(connected(), { code: 'ECONNREFUSED' })
  await next()
  await assert.rejects(connected(), { code: 'ECONNREFUSED' })
})

test('whoever waits for the active release is served by it when it is started anew, whatever place is free', async (t) => {
  const { mark, share, add } = bench(t, 10_000)
  add(1)
  add(2)
  share().switchTo(app, 2, { hold: true })
  for (const release of [1, 2]) {
    await gone(`${mark}/shop.v${release}`)
    share().removeRelease({ app, release })
  }
  const client = await connected()
  add(2)
  assert.equal(share().listeners({ app, release: 2 })[0]?.waiting, 1)
  client.destroy()
})

test('no client gets to a dark release while places that refused begin to listen', async (t) => {
  const { share, add, next } = bench(t)
  for (const release of [1, 2, 3]) add(release)
  share().switchTo(app, 3, { hold: false })
  for (let times = 0; times < 20; times++) {
    share().switchTo(app, 0, { hold: false })
    let over = false
    const clients = (async () => {
      while (!over) (await connected().catch(() => null))?.unref()
    })()
    await new Promise((resolve) => setTimeout(resolve, 5))
    share().switchTo(app, 3, { hold: false })
    await connected()
    over = true
    await clients
    assert.deepEqual(
      share()
        .listeners({ app, release: 0 })
        .filter(({ waiting }) => waiting > 0)
        .map(({ place }) => place),
      [2],
    )
  }
  const found = await next()
  for (const release of [1, 2, 3]) {
    found.switchTo(app, release, { hold: false })
    assert.equal(await waitingPlace(found), release - 1)
  }
})

test('a book that names a port without anybody there is read without it', async (t) => {
  const { book, share, add, next } = bench(t)
  add(1)
  share().switchTo(app, 1, { hold: false })
  const [entry] = JSON.parse(readFileSync(book, 'utf8'))
  const found = await next(async () => {
    writeFileSync(book, JSON.stringify([{ ...entry, ports: [...entry.ports, { port: 8081, address: null }] }]))
  })
  assert.deepEqual(found.ports(app), [{ port, declared: true }])
  assert.deepEqual(
    found.inherited({ app, release: 1 }).map(({ name }) => name),
    [String(port)],
  )
})

test('a damaged book is nothing where nothing runs, and not guessed where something does', async (t) => {
  const { book, share, add, next } = bench(t)
  const cgroup = add(1)
  share().switchTo(app, 1, { hold: false })
  const whole = readFileSync(book)
  const damaged = async () => writeFileSync(book, '')
  await assert.rejects(next(damaged), /places\.json is damaged, and apps run .* Nothing was changed/)
  await connected()
  const again = await next(async () => writeFileSync(book, whole))
  assert.deepEqual([again.word(app).active, placeIn(again, 1)], [1, 0])
  again.removeApp(app)
  await gone(cgroup)
  assert.deepEqual((await next(damaged)).releases(), [])
})

test('a switch that cannot be written down is none', async (t) => {
  const { book, share, add } = bench(t)
  for (const release of [1, 2]) add(release)
  share().switchTo(app, 1, { hold: false })
  const before = await waitingPlace(share())
  mkdirSync(`${book}.new`)
  assert.throws(() => share().switchTo(app, 2, { hold: false }), /EISDIR/)
  assert.deepEqual([share().word(app).active, await waitingPlace(share())], [1, before])
  rmdirSync(`${book}.new`)
  share().switchTo(app, 2, { hold: false })
  assert.notEqual(await waitingPlace(share()), before)
})
