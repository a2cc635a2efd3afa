/** Every listening socket of a release has exactly one place, whatever its app does, and gives it back when it closes. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maxListeners } from '../../src/strategies/steer/layout.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { ask, askTimes, cookiesOf, keepAsking, startApp, startSteering, workerOf } from './fixtures.ts'

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

test('a worker that did not ask to share gets EADDRINUSE where it would have without Cutover', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 0 })
  const cgroup = node.release(v1)
  const app = await startApp(t, workerOf(cgroup, 1), 'w1')
  const other = await startApp(t, workerOf(cgroup, 2), 'w2')
  const both = async (first: string, second: string): Promise<string> => {
    try {
      await app.run(`listen(${first})`)
      await app.run(`listen(${second})`)
      return 'both'
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    } finally {
      await app.run('[close(s) for s in [*sockets]]')
    }
  }
  const any = `'0.0.0.0', 8080`
  const six = `'::', 8080`
  assert.equal(await both(any, any), 'EADDRINUSE')
  assert.equal(await both(`${any}, share=True`, any), 'EADDRINUSE')
  assert.equal(await both(any, `'127.0.0.1', 8080`), 'EADDRINUSE')
  assert.equal(await both(`'127.0.0.1', 8080`, six), 'EADDRINUSE')
  assert.equal(await both(six, any), 'EADDRINUSE')
  assert.equal(await both(any, `'::ffff:127.0.0.1', 8080`), 'EADDRINUSE')
  assert.equal(await both(`${six}, v6only=1`, any), 'both')
  assert.equal(await both(`'127.0.0.1', 8080`, `'127.0.0.2', 8080`), 'both')
  assert.equal(await both(`'127.0.0.1', 8080`, `'::1', 8080`), 'both')
  assert.equal(await both(`${any}, share=True`, `${any}, share=True`), 'both')
  assert.ok((steering.counters().in_use ?? 0) >= 6)

  // Another worker is not a second copy, and a socket that was shut down holds nothing.
  await app.run(listen)
  await other.run(listen)
  await app.run('(sockets[0].shutdown(2), bound("0.0.0.0", 8080))')
  assert.equal(steering.listeners(v1).length, 1)
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
