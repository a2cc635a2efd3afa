/** Every listening socket of a release has exactly one place, whatever its app does, and gives it back when it closes. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maxListeners } from '../../src/strategies/steer/layout.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import {
  type App,
  ask,
  askTimes,
  cookiesOf,
  errorOf,
  keepAsking,
  startApp,
  startSteering,
  workerOf,
} from './fixtures.ts'

const skip = asRoot || needs('python3')
const v1 = { app: 1, release: 1 }
const listen = `listen('0.0.0.0', 8080)`

test('workers that are killed and started again leave no place behind and are never left out', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release(v1)
  const start = async (worker: number) => {
    const app = await startApp(t, workerOf(cgroup, worker), `w${worker}`)
    // Every other one shares its port by itself, as pre-forking servers do.
    return { app, cookie: await app.run(`listen('0.0.0.0', 8080, share=${worker % 2 ? 'True' : 'False'})`) }
  }
  const workers = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(start))
  steering.park(1)
  steering.switchTo(1, 1, { hold: false })
  const stop = keepAsking(4, () => ask(8080))
  for (let i = 0; i < 50; i++) {
    const at = (i * 5) % 8
    await workers[at]?.app.kill()
    workers[at] = await start(at + 1)
    assert.deepEqual(cookiesOf(steering, v1, 8080).toSorted(), workers.map(({ cookie }) => cookie).toSorted())
  }
  const answers = await stop()
  assert.deepEqual(
    steering
      .listeners(v1)
      .map(({ place }) => place)
      .toSorted(),
    [0, 1, 2, 3, 4, 5, 6, 7],
  )
  // What a killed worker had accepted dies with it: at most one a client and kill. Nobody was refused.
  assert.equal(answers.ECONNREFUSED, undefined)
  const served = Object.entries(answers).filter(([name]) => /^w\d$/.test(name))
  const lost = Object.entries(answers).filter(([name]) => !/^w\d$/.test(name))
  t.diagnostic(JSON.stringify(answers))
  assert.equal(served.length, 8)
  assert.ok(lost.reduce((sum, [, times]) => sum + times, 0) <= 200)
  assert.equal(steering.counters().no_heir, 0)
})

test('listening again, after shutdown or after close, takes the old place or the lowest free one, never two', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const app = await startApp(t, node.release(v1), 'v1')
  steering.switchTo(1, 1, { hold: false })

  await app.run(`listen('0.0.0.0', 8080, backlog=7)`)
  await app.run('sockets[0].listen(99)')
  assert.deepEqual(cookiesOf(steering, v1, 8080), [await app.run('cookie(sockets[0])')])

  await app.run('[(sockets[0].shutdown(2), sockets[0].listen(64)) for _ in range(100)]')
  assert.deepEqual(cookiesOf(steering, v1, 8080), [await app.run('cookie(sockets[0])')])
  assert.equal(await ask(8080), 'v1')

  await app.run('close(sockets[0])')
  await app.run(`bound('0.0.0.0', 8080)`)
  await app.run(`[(sockets.pop().close(), bound('0.0.0.0', 8080), sockets[0].listen(64)) for _ in range(100)]`)
  await app.run('serve(sockets[0])')
  assert.deepEqual(
    steering.listeners(v1).map(({ place, cookie }) => [place, String(cookie)]),
    [[0, await app.run('cookie(sockets[0])')]],
  )
  assert.equal(await ask(8080), 'v1')

  await app.run('sockets[0].shutdown(2)')
  assert.deepEqual(steering.listeners(v1), [])
  assert.equal(await ask(8080), 'ECONNREFUSED')
})

test('forty sockets that listen in one moment get forty places', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release(v1)
  const apps = await Promise.all([1, 2, 3, 4].map((worker) => startApp(t, workerOf(cgroup, worker), `w${worker}`)))
  const together = `
gate = threading.Barrier(11)
for _ in range(10):
    s = bound('0.0.0.0', 8080, share=True)
    threading.Thread(target=lambda s=s: (gate.wait(), s.listen(9))).start()`
  await Promise.all(apps.map((app) => app.run(together)))
  await Promise.all(apps.map((app) => app.run('gate.wait()')))
  const all = await Promise.all(
    apps.map(async (app) => {
      await app.run('[t.join() for t in threading.enumerate() if t is not threading.current_thread()]')
      return (await app.run('[cookie(s) for s in sockets]')) as string[]
    }),
  )
  const found = cookiesOf(steering, v1, 8080)
  assert.equal(new Set(found).size, 40)
  assert.deepEqual(found.toSorted(), all.flat().toSorted())
  assert.deepEqual(
    steering
      .listeners(v1)
      .map(({ place }) => place)
      .toSorted((a, b) => a - b),
    Array.from({ length: 40 }, (_, place) => place),
  )
})

test('the listener beyond the last place is counted and gets nothing; the others are unharmed', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release(v1)
  const first = await startApp(t, workerOf(cgroup, 1), 'w1')
  const second = await startApp(t, workerOf(cgroup, 2), 'beyond')
  for (let i = 0; i < maxListeners; i++) await first.run(`listen('0.0.0.0', 8080, share=True)`)
  steering.switchTo(1, 1, { hold: false })
  assert.equal(steering.counters().no_place, 0)
  await second.run(listen)
  assert.equal(steering.counters().no_place, 1)
  assert.equal(steering.listeners(v1).length, maxListeners)
  assert.deepEqual(await askTimes(2 * maxListeners, 8080), { w1: 2 * maxListeners })

  // A place comes free: whoever listens next takes it.
  await first.run('close(sockets[10])')
  await second.run('close(sockets[0])')
  await second.run(listen)
  assert.equal(steering.listeners(v1).length, maxListeners)
  assert.equal(
    steering
      .listeners(v1)
      .find(({ place }) => place === 10)
      ?.cookie.toString(),
    await second.run('cookie(sockets[0])'),
  )
})

test('an app that binds and closes without end keeps no other app from its place', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  steering.addApp(2, { ports: [9090], holdMs: 0 })
  const slow = await startApp(t, node.release(v1), 'slow')
  const restless = await startApp(t, node.release({ app: 2, release: 1 }), 'restless', { uid: 65_534 })
  await slow.run(`bound('0.0.0.0', 8080)`)
  await restless.run(`[(s := socket.socket(), s.bind(('127.0.0.1', 9999)), s.close()) and None for _ in range(40_000)]`)
  await slow.run('sockets[0].listen(64)')
  assert.deepEqual(cookiesOf(steering, v1, 8080), [await slow.run('cookie(sockets[0])')])
  assert.equal(steering.counters().no_place, 0)
})

test('however many ports it has, a release takes 1,024 places, again and again', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  const app = await startApp(t, node.release(v1), 'v1')
  await app.run(`__import__('resource').setrlimit(7, (2000, 2000))`)
  await app.run(`[listen('127.0.0.1', 9000 + i // 64, share=True, accept=False) for i in range(1024 + 40)]`)
  assert.equal(steering.listeners(v1).length, 1024)
  assert.equal(steering.counters().no_place, 40)
  await app.run('[close(s) for s in sockets[:10]]')
  await app.run(`[listen('127.0.0.1', 9000, share=True, accept=False) for _ in range(11)]`)
  assert.equal(steering.listeners(v1).length, 1024)
  assert.equal(steering.counters().no_place, 41)
  const other = await startApp(t, node.release({ app: 1, release: 2 }), 'v2')
  await other.run(listen)
  assert.equal(steering.counters().no_place, 41)
})

test('a second listener of one worker gets EADDRINUSE exactly where it would without Cutover', { skip }, async (t) => {
  const pairs = [
    [`'0.0.0.0'`, `'0.0.0.0'`],
    [`'0.0.0.0', share=True`, `'0.0.0.0'`],
    [`'0.0.0.0', share=True`, `'0.0.0.0', share=True`],
    [`'0.0.0.0'`, `'0.0.0.0', share=True`],
    [`'::', v6only=0`, `'127.0.0.1', share=True`],
    [`'127.0.0.1'`, `'::1', share=True`],
    [`'0.0.0.0'`, `'127.0.0.1'`],
    [`'127.0.0.1'`, `'0.0.0.0'`],
    [`'127.0.0.1'`, `'127.0.0.2'`],
    [`'0.0.0.0'`, `'::', v6only=0`],
    [`'0.0.0.0'`, `'::', v6only=1`],
    [`'::', v6only=1`, `'0.0.0.0'`],
    [`'::', v6only=0`, `'127.0.0.1'`],
    [`'::1'`, `'127.0.0.1'`],
    [`'::1'`, `'::', v6only=1`],
    [`'::ffff:127.0.0.1', v6only=0`, `'127.0.0.1'`],
    [`'::ffff:127.0.0.1', v6only=0`, `'127.0.0.2'`],
  ] as const
  const node = startSteering(t)
  const { steering } = node
  const port = 8080
  steering.addApp(1, { ports: pairs.map((_, i) => port + i), holdMs: 0 })
  const inside = await startApp(t, workerOf(node.release(v1), 1), 'v1')
  const outside = await startApp(t, null, 'without Cutover')
  const tried = async (app: App, at: number, pair: readonly string[]): Promise<string[]> => {
    const results: string[] = []
    for (const one of pair) results.push(await errorOf(app.run(`listen(port=${at}, address=${one})`)))
    return results
  }
  for (const [i, pair] of pairs.entries())
    assert.deepEqual(await tried(inside, port + i, pair), await tried(outside, 20_000 + i, pair), pair.join(' then '))
  assert.ok((steering.counters().in_use ?? 0) > 0)
})

test('another worker and another release are no second listener, nor is a socket that was shut down', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release(v1)
  const app = await startApp(t, workerOf(cgroup, 1), 'w1')
  const others = [
    await startApp(t, workerOf(cgroup, 2), 'w2'),
    await startApp(t, workerOf(node.release({ app: 1, release: 2 }), 1), 'v2'),
  ]
  for (const one of [app, ...others]) {
    await one.run(listen)
    await one.run(`listen('::', 8080, v6only=1)`)
  }
  await app.run('(sockets[0].shutdown(2), bound("0.0.0.0", 8080))')
})

test('a port that the kernel chose is left alone', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const app = await startApp(t, node.release(v1), 'v1')
  await app.run(`listen('127.0.0.1', 0)`)
  const port = Number(await app.run('sockets[0].getsockname()[1]'))
  assert.deepEqual(steering.listeners(v1), [])
  assert.deepEqual(steering.ports(1), [{ port: 8080, declared: true }])
  assert.equal(await ask(port), 'v1')
  assert.equal(await app.run('sockets[0].getsockopt(1, 15)'), 0)
})
