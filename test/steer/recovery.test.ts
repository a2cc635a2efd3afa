/** All that counts is in the kernel: the next daemon finds it, finishes what was half done, and `destroy` leaves nothing. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { listenersOn } from '../../src/linux/sock-diag.ts'
import { openKernel } from '../../src/strategies/steer/kernel.ts'
import { layoutVersion, u32 } from '../../src/strategies/steer/layout.ts'
import { openSteering } from '../../src/strategies/steer/steering.ts'
import type { Steering } from '../../src/strategies/steering.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { eventually, temporaryCgroup } from '../support/workspace.ts'
import {
  ask,
  askTimes,
  cookiesOf,
  startApp,
  startSteering,
  type TestSteering,
  tally,
  temporaryBpffs,
  waitingClient,
} from './fixtures.ts'

const skip = asRoot || needs('python3')
const v1 = { app: 1, release: 1 }
const v2 = { app: 1, release: 2 }
const park = { app: 1, release: 0 }
const listen = `listen('0.0.0.0', 8080)`

/** Maps, programs and links of which this process has a descriptor. */
const ownBpfObjects = (): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).match(/^anon_inode:.*bpf.*/) ?? []
    } catch {
      return [] // the one by which the directory was read
    }
  })

const holdersOf = ({ cgroup }: TestSteering): number[] => cgroupPids(join(cgroup, 'holders'))

/** Runs these statements on a `steering` in a process of its own, which is then killed with SIGKILL. */
async function inDaemonThatIsKilled(pins: string, cgroup: string, statements: string): Promise<void> {
  const code = `
    import { openSteering } from '${import.meta.resolve('../../src/strategies/steer/steering.ts')}'
    const steering = openSteering(${JSON.stringify({ pins, cgroup })})
    ${statements}
    process.stdout.write('done')
    setInterval(() => {}, 1000)`
  const daemon = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(daemon.stdout, 'data')
  daemon.kill('SIGKILL')
  await once(daemon, 'exit')
}

test('after kill -9 the next daemon finds releases, words, ports, counts and what is parked', { skip }, async (t) => {
  let opened: Steering | null = null
  t.after(() => opened?.destroy())
  const pins = join(temporaryBpffs(t), 'pins')
  const [cgroup, first, second] = [temporaryCgroup(t), temporaryCgroup(t), temporaryCgroup(t)]
  await inDaemonThatIsKilled(
    pins,
    cgroup,
    `steering.addApp(1, { ports: [8080], holdMs: 60_000 })
     steering.addRelease(${JSON.stringify(v1)}, '${first}')
     steering.addRelease(${JSON.stringify(v2)}, '${second}')
     steering.switchTo(1, 1, { hold: true })`,
  )
  const app = await startApp(t, first, 'v1')
  const other = await startApp(t, second, 'v2')
  await app.run(listen)
  await other.run(listen)
  assert.deepEqual(await askTimes(10, 8080), { v1: 10 }, 'hooks and look-up work without a daemon')
  await inDaemonThatIsKilled(pins, cgroup, `steering.park(1); steering.switchTo(1, 0, { hold: true })`)
  const clients = await Promise.all(Array.from({ length: 10 }, () => waitingClient(8080)))

  const steering = openSteering({ pins, cgroup })
  opened = steering
  assert.deepEqual(
    steering.releases().toSorted((a, b) => a.release - b.release),
    [v1, v2],
  )
  assert.deepEqual(steering.word(1), { active: 0, standby: 0, hold: true })
  assert.deepEqual(steering.ports(1), [{ port: 8080, declared: true }])
  assert.equal(steering.accepted(v1), 10)
  assert.equal(steering.counters().parked, 10)
  assert.equal(steering.parked(1), 10)
  steering.park(1)
  assert.equal(cgroupPids(join(cgroup, 'holders')).length, 1, 'no second holder')
  steering.switchTo(1, 2, { hold: true })
  assert.equal(steering.unpark(1), 10)
  assert.deepEqual(tally(await Promise.all(clients.map(({ answer }) => answer))), { v2: 10 })
})

test('what a killed daemon left half brought in or half taken out is taken out', { skip }, async (t) => {
  const node = startSteering(t)
  node.steering.addApp(1, { ports: [8080], holdMs: 0 })
  node.release(v1)
  node.release(v2)
  const releases = join(node.pins, String(layoutVersion), 'releases')
  // Hooks that were not all pinned yet; a slot of which the hooks are gone already; hooks without a slot.
  rmSync(join(releases, '1_v2', 'complete'), { recursive: true })
  node.release({ app: 1, release: 3 })
  rmSync(join(releases, '1_v3'), { recursive: true })
  node.release({ app: 2, release: 7 })
  {
    using kernel = openKernel(node.pins)
    kernel.maps.alive.set(u32(2), Buffer.alloc(16))
  }
  const steering = node.reopen()
  assert.deepEqual(steering.releases(), [v1])
  assert.deepEqual(readdirSync(releases), ['1_v1'])
  for (let release = 11; release < 18; release++) node.release({ app: 1, release })
  assert.equal(steering.releases().length, 8, 'no slot was lost')
})

test('a holder whose socket never got its place is ended by the next daemon', { skip }, async (t) => {
  const node = startSteering(t)
  node.steering.addApp(1, { ports: [8080], holdMs: 0 })
  const app = await startApp(t, node.release(v1), 'v1')
  await app.run(listen)
  node.steering.park(1)
  const [before] = cookiesOf(node.steering, park, 8080)
  {
    using kernel = openKernel(node.pins)
    for (const key of kernel.maps.places.keys()) if (key.readUInt32LE(0) === 0x1_0000) kernel.maps.places.delete(key)
  }
  const steering = node.reopen()
  await eventually(() => cgroupPids(join(node.cgroup, 'holders')).length === 0)
  assert.deepEqual(steering.listeners(park), [])
  steering.park(1)
  const [after] = cookiesOf(steering, park, 8080)
  assert.ok(after)
  assert.notEqual(after, before)
  assert.equal(listenersOn([8080]).length, 2)
})

test('a holder that is killed is replaced, and costs nothing', { skip }, async (t) => {
  const node = startSteering(t)
  node.steering.addApp(1, { ports: [8080], holdMs: 60_000 })
  const app = await startApp(t, node.release(v1), 'v1')
  await app.run(listen)
  node.steering.park(1)
  node.steering.switchTo(1, 0, { hold: true })
  const before = cookiesOf(node.steering, park, 8080)
  const clients = await Promise.all(Array.from({ length: 10 }, () => waitingClient(8080)))
  for (const open of [() => node.steering, node.reopen]) {
    const steering = open()
    const [holder = 0, ...more] = holdersOf(node)
    assert.deepEqual(more, [])
    process.kill(holder, 'SIGKILL')
    await eventually(() => holdersOf(node).some((pid) => pid !== holder))
    assert.deepEqual(cookiesOf(steering, park, 8080), before)
    assert.equal(steering.parked(1), 10)
  }
  const steering = node.reopen()
  steering.switchTo(1, 1, { hold: true })
  assert.equal(steering.unpark(1), 10)
  assert.deepEqual(tally(await Promise.all(clients.map(({ answer }) => answer))), { v1: 10 })
})

test('the death of the daemon and the holder costs what was parked and nothing else, and park is made anew', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  node.steering.addApp(1, { ports: [8080], holdMs: 60_000 })
  const app = await startApp(t, node.release(v1), 'v1')
  await app.run(listen)
  node.steering.park(1)
  node.steering.switchTo(1, 1, { hold: true })
  const [before] = cookiesOf(node.steering, park, 8080)
  await app.run('sockets[0].shutdown(socket.SHUT_RDWR)')
  const client = await waitingClient(8080)
  node.steering.close()
  const [holder = 0] = holdersOf(node)
  process.kill(holder, 'SIGKILL')
  assert.equal(await client.answer, 'ECONNRESET')
  await app.run('sockets[0].listen(256)')
  assert.deepEqual(await askTimes(10, 8080), { v1: 10 })

  const steering = node.reopen()
  assert.deepEqual(steering.listeners(park), [])
  steering.park(1)
  assert.equal(holdersOf(node).length, 1)
  assert.notEqual(cookiesOf(steering, park, 8080)[0], before)
  assert.deepEqual(await askTimes(10, 8080), { v1: 10 })
  // The new one is in the app's group, and the group has its program: what is parked there goes to the heir.
  steering.switchTo(1, 0, { hold: true })
  const next = await waitingClient(8080)
  steering.switchTo(1, 1, { hold: true })
  assert.equal(steering.unpark(1), 1)
  assert.equal(await next.answer, 'v1')
})

test('a removal that was cut short counts as nothing, and pins of another namespace are refused', {
  skip,
}, async (t) => {
  const node = startSteering(t)
  node.steering.addApp(1, { ports: [8080], holdMs: 0 })
  const code = `
    import { openSteering } from '${import.meta.resolve('../../src/strategies/steer/steering.ts')}'
    try { openSteering(${JSON.stringify({ pins: node.pins, cgroup: node.cgroup })}) } catch (error) { process.stdout.write(error.message) }`
  const elsewhere = spawn('unshare', ['--net', process.execPath, '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [said] = await once(elsewhere.stdout, 'data')
  assert.match(String(said), /steer another network namespace.*Nothing was changed/)
  assert.deepEqual(node.steering.ports(1), [{ port: 8080, declared: true }])

  rmSync(join(node.pins, String(layoutVersion), 'links'), { recursive: true })
  rmSync(join(node.pins, String(layoutVersion), 'maps', 'next'))
  assert.deepEqual(node.reopen().ports(1), [])
})

test('destroy leaves no pin, no holder, no listener and no program at work', { skip }, async (t) => {
  const node = startSteering(t)
  const { steering } = node
  steering.addApp(1, { ports: [8080], holdMs: 1000 })
  const cgroup = node.release(v1)
  const app = await startApp(t, cgroup, 'v1')
  await app.run(listen)
  steering.park(1)
  steering.switchTo(1, 1, { hold: true })
  const holders = cgroupPids(join(node.cgroup, 'holders'))
  assert.equal(holders.length, 1)
  await app.kill()
  steering.destroy()
  assert.equal(existsSync(node.pins), false)
  await eventually(() => cgroupPids(join(node.cgroup, 'holders')).length === 0)
  assert.deepEqual(ownBpfObjects(), [])
  assert.deepEqual(listenersOn([8080]), [])
  // Nothing speaks for the port any more, and the cgroup's hooks are gone.
  const plain = await startApp(t, cgroup, 'plain')
  await plain.run(`listen('127.0.0.1', 8080, again=True)`)
  assert.equal(await plain.run('sockets[0].getsockopt(1, 15)'), 0)
  assert.equal(await ask(8080), 'plain')
})
