/** Nothing left of what a deploy needs: it fails with a word, traffic and the daemon go on, and everything works again when there is some. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { errorOf, filesLeft, lightLoad, shopFolder } from '../support/shop.ts'
import { eventually, temporaryDirectory } from '../support/workspace.ts'

const skip = asRoot
const daemonOf = ({ place }: TestNode): number => Number(readFileSync(place.lock, 'utf8'))

/** Each of `short` begins it, and while it is so deploys fail in its words, or in those of all; `over` ends it, and they go live again. Nobody is lost all the while. */
async function failsOnlyWhile(
  t: TestContext,
  node: TestNode,
  {
    short,
    words,
    over,
  }: {
    readonly short: readonly ((() => unknown) | { readonly begin: () => unknown; readonly words: RegExp })[]
    readonly words: RegExp
    readonly over: () => void
  },
): Promise<void> {
  const daemon = daemonOf(node)
  const { active, releases } = await node.app('shop')
  await using load = await lightLoad()
  for (const one of short) {
    const { begin, words: said } = typeof one === 'function' ? { begin: one, words } : one
    begin()
    try {
      const error = await errorOf(node.deploy(shopFolder(t, { config: 'deploy_timeout: 3s' })))
      assert.equal(error.kind, 'failed', error.message)
      assert.match(error.message, said)
    } finally {
      over()
    }
    const status = await node.app('shop')
    assert.deepEqual([status.active, status.busy], [active, null])
    const failed = status.releases.find(({ state }) => state === 'failed')
    if (failed !== undefined) await eventually(() => isGone(node, failed.release))
  }
  const { release } = await node.deploy(shopFolder(t))
  assert.ok(release > (releases[0]?.release ?? 0))
  await load.until('the new release answers', ({ answered }) => (answered[`v${release}`] ?? 0) > 0)
  assertNoneLost(await load.stop())
  assert.equal(daemonOf(node), daemon)
}

/** To end and remove what is left of a release takes what was short as well: it is tried again until nothing is. */
const isGone = (node: TestNode, release: number): boolean =>
  !existsSync(join(node.cgroup, `shop.v${release}`)) && filesLeft(node, release).length === 0

test('descriptors of the daemon', { skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  const pid = daemonOf(node)
  // The soft limit only: to raise the other one again takes a right that root may lack in a container.
  const limit = (soft: number) => execFileSync('prlimit', ['--pid', String(pid), `--nofile=${soft}:`])
  const open = () => readdirSync(`/proc/${pid}/fd`).length
  // So many more than are open: it fails at the config, or in the copy.
  const short = [0, 3].map((spare) => () => limit(open() + spare))
  await failsOnlyWhile(t, node, {
    short,
    words: /too many open files|no file descriptor left/,
    over: () => limit(10_000),
  })

  await t.test('that are used up while a release is built', async (t) => {
    const go = join(temporaryDirectory(t), 'go')
    const folder = shopFolder(t, { config: `build: sh -c "until [ -e ${go} ]; do sleep 0.05; done"` })
    const error = await errorOf(
      node.deploy(folder, (progress) => {
        // Those that are open stay; not even one that is closed meanwhile makes room.
        if (progress.type !== 'begin' || progress.step !== 'build') return
        limit(3)
        writeFileSync(go, '')
      }),
    )
    limit(10_000)
    assert.equal(error.kind, 'failed')
    assert.match(error.message, /never went live: .*no file descriptor left.*Traffic is on v\d+, as before\./s)
    const { active, releases } = await node.app('shop')
    assert.deepEqual([releases[0]?.state, active], ['failed', (releases[0]?.release ?? 0) - 1])
    await eventually(() => isGone(node, releases[0]?.release ?? 0))
  })
})

const pids = '/sys/fs/cgroup/pids'
const withoutPids = asRoot || (existsSync(join(pids, 'cgroup.procs')) ? false : 'needs the pids controller, version 1')

test('processes', { skip: withoutPids }, async (t) => {
  const node = await startNode(t)
  const cgroup = join(pids, `cutover-test-${process.pid}`)
  mkdirSync(cgroup)
  t.after(() =>
    eventually(() => {
      try {
        rmdirSync(cgroup)
        return true
      } catch {
        // The last of them is still on its way out.
        return false
      }
    }),
  )
  writeFileSync(join(cgroup, 'cgroup.procs'), String(daemonOf(node)))
  await node.deploy(shopFolder(t))
  const limit = (max: string) => writeFileSync(join(cgroup, 'pids.max'), max)
  const used = () => Number(readFileSync(join(cgroup, 'pids.current'), 'utf8'))
  const leave = (spare: number) => () => limit(String(used() + spare))
  await failsOnlyWhile(t, node, {
    // Fewer than a server made with Node has threads is the server's own end, again and again.
    short: [leave(0), { begin: leave(3), words: /did not start within 3s/ }],
    words: /could not be started: there are too many processes: a limit .* is reached \(ulimit -u, pids\.max\)/,
    over: () => limit('max'),
  })

  await t.test('a worker that cannot be started again is once it can', async () => {
    const [killed = Number.NaN] = (await node.app('shop')).releases[0]?.pids ?? []
    limit('1')
    process.kill(killed, 'SIGKILL')
    const now = async () => (await node.app('shop')).releases[0]
    while (!(await now())?.note?.includes('1 of 1 workers are down'))
      await new Promise((resolve) => setTimeout(resolve, 50))
    limit('max')
    while ((await now())?.note?.includes('workers are down')) await new Promise((resolve) => setTimeout(resolve, 50))
  })
})

test('inodes', { skip }, async (t) => {
  const disk = mkdtempSync(join(tmpdir(), 'cutover-disk-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256m,nr_inodes=400', 'none', disk])
  const node = await startNode(t, undefined, disk).finally(() =>
    t.after(() => {
      execFileSync('umount', ['--lazy', disk])
      rmSync(disk, { recursive: true })
    }),
  )
  await node.deploy(shopFolder(t))
  const filler = join(disk, 'filler')
  const fill = (spare: number) => () => {
    mkdirSync(filler)
    for (let count = 0; statfsSync(disk).ffree > spare; count++) writeFileSync(join(filler, String(count)), '')
  }
  const words = /There are not enough inodes for the release/
  const over = () => rmSync(filler, { recursive: true })
  await failsOnlyWhile(t, node, { short: [0, 3, 40].map(fill), words, over })

  await t.test('a build that uses all of them fails, and gives them back', async (t) => {
    const before = statfsSync(disk).ffree
    const config = "build: [sh, -c, 'for n in $(seq 1000); do : > $n || exit 1; done']"
    const error = await errorOf(node.deploy(shopFolder(t, { config })))
    assert.match(error.message, /was not built, and never went live: .*Traffic is on v\d+, as before\./s)
    assert.ok(statfsSync(disk).ffree >= before - 5)
  })
})
