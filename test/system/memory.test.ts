/** When memory is short: who is ended first, and what is not even begun. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { oomScore, setOomScore, withOomScore } from '../../src/linux/oom.ts'
import { processStat } from '../../src/linux/proc.ts'
import { identify, isAlive, sendSignal } from '../../src/linux/process.ts'
import { ask } from '../support/app.ts'
import { limitMemory, withoutMemoryCgroup } from '../support/memory-cgroup.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { errorOf, shopFolder } from '../support/shop.ts'
import { eventually } from '../support/workspace.ts'

/** `/?N` takes N MB more; a process of its own sleeps beside it. */
const greedy = `
import { createServer } from 'node:http'
import { spawn } from 'node:child_process'
spawn('sleep', ['1000'])
const taken = []
createServer((request, response) => {
  const more = Number(new URL(request.url, 'http://shop').search.slice(1))
  for (let megabytes = 0; megabytes < more; megabytes++) taken.push(Buffer.alloc(1_000_000, 'x'))
  response.end(process.env.CUTOVER_RELEASE)
}).listen(8080)
`

const daemonOf = ({ place }: TestNode): number => Number(readFileSync(place.lock, 'utf8'))

/** The server of a release, which leads the session that its processes are in. */
const mainOf = ({ cgroup }: TestNode, release: number, worker = 1) =>
  identify(cgroupPids(`${cgroup}/shop.v${release}/w${worker}`).find((pid) => processStat(pid)?.session === pid) ?? 0)

/** What the daemon and its holders have: to be below what they were started with takes CAP_SYS_RESOURCE, which root may lack in a container. */
const lowest = withOomScore(-900, oomScore)

/** The scores of all processes of a release, each once. */
const scoresOf = ({ cgroup }: TestNode, release: number): number[] => [
  ...new Set(cgroupPids(`${cgroup}/shop.v${release}`).map((pid) => oomScore(pid))),
]

test('the daemon and the holders live longest, then the active release, whichever that is, then the others', {
  skip: asRoot,
}, async (t) => {
  const node = await startNode(t)
  const folder = shopFolder(t, { server: greedy, config: 'workers: 2' })
  await node.deploy(folder)
  const inherited = Math.max(0, oomScore())
  const [active, standby] = [inherited, 1000]
  let candidate: number[] = []
  // So often that it is still the candidate when it is looked at.
  const examined = shopFolder(t, { server: greedy, config: 'workers: 2\nhealth: {path: /, healthy: 30}' })
  await node.deploy(examined, (progress) => {
    if (progress.type === 'begin' && progress.step === 'healthy') candidate = scoresOf(node, 2)
  })
  const now = () => [1, 2].map((release) => scoresOf(node, release))
  assert.deepEqual([candidate, ...now()], [[1000], [standby], [active]])
  const ours = [daemonOf(node), ...cgroupPids(`${node.cgroup}/holders`)]
  assert.ok(ours.length > 1)
  assert.deepEqual([...new Set(ours.map((pid) => oomScore(pid)))], [lowest])
  // Without CAP_SYS_RESOURCE the first two may be equal; that the small ones live then is for the next test to show.
  assert.ok(lowest <= active && active < standby, `${lowest}, ${active}, ${standby}`)

  await node.rollback('shop')
  assert.deepEqual(now(), [[active], [standby]])

  await t.test('a worker that is started again has its due', async () => {
    for (const release of [1, 2]) {
      const killed = mainOf(node, release, 2)
      assert.ok(killed)
      sendSignal(killed, 'SIGKILL')
      const isAnother = (pid: number) => pid !== killed.pid
      await eventually(() => {
        const pids = cgroupPids(`${node.cgroup}/shop.v${release}/w2`)
        return pids.length === 2 && pids.every(isAnother)
      })
    }
    await eventually(() => String(now()) === String([[active], [standby]]))
  })

  await t.test('the next daemon sees to it again', async () => {
    await node.killDaemon()
    for (const pid of cgroupPids(`${node.cgroup}/shop.v1`)) setOomScore(pid, 1000)
    const { apps } = await node.client.status()
    assert.equal(apps[0]?.active, 1)
    assert.deepEqual(now(), [[active], [standby]])
    assert.equal(oomScore(daemonOf(node)), lowest)
  })
})

test('memory that is used up costs the standby first, and then the active release, but not the daemon, nor a holder', {
  skip: withoutMemoryCgroup,
}, async (t) => {
  const node = await startNode(t)
  const daemon = daemonOf(node)
  limitMemory(t, daemon, 800_000_000)
  const folder = shopFolder(t, { server: greedy, config: 'standby: {keep: 1}' })
  await node.deploy(folder)
  // Enough that its end is a relief for a while.
  await ask('/?150')
  await node.deploy(folder)
  await node.settled('shop')
  const [standby, active] = [1, 2].map((release) => mainOf(node, release))
  assert.ok(standby && active)
  const holders = () => cgroupPids(`${node.cgroup}/holders`)
  const before = holders()
  assert.ok(before.length > 0)

  // v2 is by far the larger one all the while.
  await ask('/?200')
  for (let taken = 200; isAlive(standby); taken += 5) {
    assert.ok(taken < 800, 'nobody was ended')
    assert.equal(await ask('/?5'), 'v2')
  }
  for (let taken = 0; isAlive(active); taken += 5) {
    assert.ok(taken < 800, 'the active release was never ended')
    // Once it has ended the port is held anew.
    const now = holders()
    if (isAlive(active)) assert.deepEqual(now, before)
    await ask('/?5').catch(() => {})
  }
  await eventually(() => cgroupPids(`${node.cgroup}/shop.v2`).length > 0)
  assert.equal((await node.app('shop')).active, 2)
  assert.equal(daemonOf(node), daemon)
  assert.ok(holders().length > 0)
})

test('a deploy that plainly will not fit into memory is refused before anything is started', {
  skip: withoutMemoryCgroup,
}, async (t) => {
  const node = await startNode(t)
  const { setLimit, used, directory } = limitMemory(t, daemonOf(node), 2_000_000_000)
  const folder = shopFolder(t, { server: greedy })
  await node.deploy(folder)
  await ask('/?600')

  setLimit(used() + 200_000_000)
  const error = await errorOf(node.deploy(folder))
  assert.equal(error.kind, 'refused')
  assert.match(
    error.message,
    /^shop was not deployed, because a second release would not fit into memory: v1 takes \d+ MB, and \d+ MB are free below the limit of (\S+)\. Nothing was started\. Traffic is on v1, as before\. Make room first/,
  )
  assert.ok(error.message.includes(directory))
  const { releases } = await node.app('shop')
  assert.deepEqual(
    releases.map(({ release }) => release),
    [1],
  )

  setLimit(used() + 500_000_000)
  const { release, warnings } = await node.deploy(folder)
  assert.equal(release, 2)
  assert.ok(warnings.some((text) => /^memory is short: v1 takes \d+ MB, and \d+ MB are free below/.test(text)))
})
