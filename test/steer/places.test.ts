import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { app, ask, type Rig, repeat, rig, tally } from './rig.ts'

const skip = asRoot || needs('python3')
const port = 8080

const placesOf = ({ steering }: Rig, release = 1) => steering.listeners({ app, release }).map(({ place }) => place)
const cookiesOf = ({ steering }: Rig, release = 1) =>
  steering.listeners({ app, release }).map(({ cookie }) => String(cookie))

test('workers that are killed and started again leave no place empty, taken twice or forgotten', {
  skip,
}, async (t) => {
  const r = rig(t, [port])
  const start = async (worker: number) => {
    const puppet = await r.puppet(1, { worker })
    assert.equal(
      await puppet.do('open', { id: 1, address: '0.0.0.0', port, reuseport: worker % 2 === 0, backlog: 64 }),
      'ok',
    )
    await puppet.do('answer', { id: 1, text: `w${worker}` })
    return { puppet, cookie: await puppet.do('cookie', { id: 1 }) }
  }
  const workers = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(start))
  r.steering.switchTo(app, 1, { hold: true })
  r.steering.park(app)
  let stop = false
  const load = Promise.all(
    [1, 2].map(async () => {
      const fates: string[] = []
      while (!stop) fates.push(await ask(port))
      return fates
    }),
  )
  for (let round = 0; round < 25; round++) {
    const at = (round * 5) % 8
    await workers[at]?.puppet.kill()
    workers[at] = await start(at + 1)
    assert.deepEqual(cookiesOf(r).toSorted(), workers.map(({ cookie }) => cookie).toSorted())
    assert.deepEqual(placesOf(r), [0, 1, 2, 3, 4, 5, 6, 7])
  }
  stop = true
  const fates = tally((await load).flat())
  const lost = Object.keys(fates).filter((fate) => !/^w\d$/.test(fate) && fate !== 'ECONNRESET' && fate !== 'EOF')
  assert.deepEqual(lost, [], 'only what a killed worker had accepted may be lost')
})

test('connections go to the listeners of a release in turn, exactly', { skip }, async (t) => {
  const r = rig(t, [port])
  const workers = await Promise.all([1, 2, 3].map((worker) => r.puppet(1, { worker })))
  for (const [index, worker] of workers.entries()) await worker.listens(`w${index}`, port)
  r.steering.switchTo(app, 1, { hold: false })
  assert.deepEqual(tally(await repeat(60, () => ask(port))), { w0: 20, w1: 20, w2: 20 })

  await workers[1]?.kill()
  assert.deepEqual(
    tally(await repeat(60, () => ask(port))),
    { w0: 30, w2: 30 },
    'an empty place gives nobody two turns',
  )
})

test('the ACK of a SYN cookie goes where its SYN went, and takes no turn', { skip }, async (t) => {
  const r = rig(t, [port])
  await withSyncookies(async () => {
    const workers = await Promise.all([1, 2].map((worker) => r.puppet(1, { worker })))
    for (const [index, worker] of workers.entries()) await worker.listens(`w${index}`, port)
    r.steering.switchTo(app, 1, { hold: false })
    assert.deepEqual(tally(await repeat(100, () => ask(port))), { w0: 50, w1: 50 })
  })
})

test('a socket that listens twice, again after shutdown, or is opened anew is in one place', { skip }, async (t) => {
  const r = rig(t, [port])
  const puppet = await r.puppet(1)
  r.steering.switchTo(app, 1, { hold: false })
  await puppet.do('open', { id: 'a', address: '0.0.0.0', port, backlog: 7 })
  await puppet.do('listen', { id: 'a', backlog: 99 })
  await puppet.do('again', { id: 'a', times: 100 })
  assert.deepEqual(cookiesOf(r), [await puppet.do('cookie', { id: 'a' })])
  await puppet.do('anew', { id: 'a', address: '0.0.0.0', port, times: 100 })
  assert.deepEqual(cookiesOf(r), [await puppet.do('cookie', { id: 'a' })])
  assert.deepEqual(placesOf(r), [0])
  await puppet.do('answer', { id: 'a', text: 'v1' })
  assert.equal(await ask(port), 'v1')
})

test('forty sockets that listen at one moment all get a place; the 65th is left out, counted, and harms nobody', {
  skip,
}, async (t) => {
  const r = rig(t, [port])
  const puppets = await Promise.all(Array.from({ length: 4 }, (_, worker) => r.puppet(1, { worker })))
  r.steering.switchTo(app, 1, { hold: false })
  const all = puppets.flatMap((puppet) => Array.from({ length: 10 }, (_, id) => ({ puppet, id })))
  for (const { puppet, id } of all)
    assert.equal(await puppet.do('open', { id, address: '0.0.0.0', port, reuseport: true }), 'ok')
  await Promise.all(all.map(({ puppet, id }) => puppet.do('listen', { id })))
  const cookies = await Promise.all(all.map(({ puppet, id }) => puppet.do('cookie', { id })))
  assert.deepEqual(cookiesOf(r).toSorted(), cookies.toSorted())
  assert.equal(new Set(placesOf(r)).size, 40)
  for (const { puppet, id } of all) await puppet.do('answer', { id, text: 'in time' })

  const [puppet] = puppets
  assert.ok(puppet)
  for (let id = 100; id < 125; id++)
    await puppet.do('open', { id, address: '0.0.0.0', port, reuseport: true, backlog: 9 })
  assert.equal(placesOf(r).length, 64)
  assert.equal(r.steering.counters().no_place, 1)
  for (let id = 100; id < 125; id++) await puppet.do('close', { id })
  assert.deepEqual(tally(await repeat(80, () => ask(port))), { 'in time': 80 })
})

/** Every SYN is answered by a cookie meanwhile. The sysctl is this namespace's own. */
async function withSyncookies(act: () => Promise<void>): Promise<void> {
  const { readFileSync, writeFileSync } = await import('node:fs')
  const sysctl = '/proc/sys/net/ipv4/tcp_syncookies'
  const before = readFileSync(sysctl)
  writeFileSync(sysctl, '2')
  try {
    await act()
  } finally {
    writeFileSync(sysctl, before)
  }
}
