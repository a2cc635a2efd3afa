import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { openSteering, type SteeringOptions } from '../../src/strategies/steer/steering.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { eventually } from '../support/workspace.ts'
import { app, ask, repeat, rig, tally } from './rig.ts'

const skip = asRoot || needs('python3')
const port = 8080

test('after kill -9 the kernel goes on, and the next process finds everything as it was', { skip }, async (t) => {
  const r = rig(t, [port])
  const [v1, v2] = await Promise.all([r.puppet(1), r.puppet(2)])
  await v1.listens('v1', port)
  await v2.listens('v2', port)
  r.steering.switchTo(app, 1, { hold: true })
  // Somebody else finds what this process made, parks, and is killed: only the kernel and the holder know of it now.
  r.steering.close()
  await dies(t, r.options, `steering.park(${app}); steering.switchTo(${app}, 2, { hold: true })`)
  assert.deepEqual(tally(await repeat(20, () => ask(port))), { v2: 20 })

  const next = openSteering(r.options)
  t.after(() => next.close())
  assert.deepEqual(next.word(app), { active: 2, standby: next.word(app).standby, hold: true })
  assert.deepEqual(
    next.releases().toSorted((a, b) => a.release - b.release),
    [
      { app, release: 1 },
      { app, release: 2 },
    ],
  )
  assert.deepEqual(next.ports(app), [{ port, declared: true }])
  assert.equal(next.accepted({ app, release: 2 }), 20)
  const [park, ...more] = next.listeners({ app, release: 0 })
  assert.deepEqual([park?.port, park?.address, more.length], [port, '0.0.0.0', 0])

  await v2.kill()
  const waits = ask(port)
  await eventually(() => next.parked(app) === 1)
  next.switchTo(app, 1, { hold: true })
  assert.equal(next.unpark(app), 1)
  assert.equal(await waits, 'v1')
  next.park(app)
  assert.equal(next.listeners({ app, release: 0 }).length, 1, 'what is held is not held twice')
})

test('connections that were parked when the daemon died are answered under the next one', { skip }, async (t) => {
  const r = rig(t, [port])
  const v1 = await r.puppet(1)
  await v1.listens('v1', port)
  r.steering.switchTo(app, 1, { hold: true })
  r.steering.close()
  await dies(t, r.options, `steering.park(${app}); steering.switchTo(${app}, 0, { hold: true })`)
  const waits = Array.from({ length: 20 }, () => ask(port))
  const next = openSteering(r.options)
  t.after(() => next.close())
  await eventually(() => next.parked(app) === 20)
  next.switchTo(app, 1, { hold: true })
  assert.equal(next.unpark(app), 20)
  assert.deepEqual(tally(await Promise.all(waits)), { v1: 20 })
})

test('a hold runs out though no daemon lives, and the next one closes what waits', { skip }, async (t) => {
  const r = rig(t, [port], 1000)
  const v1 = await r.puppet(1)
  await v1.listens('v1', port)
  r.steering.switchTo(app, 1, { hold: true })
  r.steering.close()
  await dies(t, r.options, `steering.park(${app}); steering.switchTo(${app}, 0, { hold: true })`)
  const waits = ask(port)
  await eventuallyRefused()
  const next = openSteering(r.options)
  t.after(() => next.close())
  assert.ok(next.closeParked(app) > 0)
  assert.match(await waits, /^(ECONNRESET|EOF)$/)
})

test('what is taken away leaves no pin, no process and no steering', { skip }, async (t) => {
  const r = rig(t, [port])
  const v1 = await r.puppet(1)
  await v1.listens('v1', port)
  r.steering.switchTo(app, 1, { hold: true })
  r.steering.park(app)
  assert.equal(cgroupPids(r.options.cgroup).length, 1)
  r.steering.destroy()
  await eventually(() => cgroupPids(r.options.cgroup).length === 0)
  assert.equal(existsSync(r.options.pins), false)
  assert.equal(await ask(port), 'v1', 'the app goes on by itself')
})

/** Until the hold is over: connections that come before it wait in the queue, where they are left. */
async function eventuallyRefused(): Promise<void> {
  for (let tries = 0; tries < 100; tries++) if ((await ask(port, '127.0.0.1', 200)) === 'ECONNREFUSED') return
  throw new Error('nobody is refused')
}

/** Another process opens the steering, does this, and is killed with SIGKILL. */
async function dies(t: TestContext, options: SteeringOptions, act: string): Promise<void> {
  const program = `
    import { openSteering } from '${import.meta.resolve('../../src/strategies/steer/steering.ts')}'
    const steering = openSteering(${JSON.stringify(options)})
    ${act}
    process.kill(process.pid, 'SIGKILL')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' })
  t.after(() => child.kill('SIGKILL'))
  const [code, signal] = await once(child, 'exit')
  assert.deepEqual([code, signal], [null, 'SIGKILL'])
}
