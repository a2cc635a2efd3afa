/** The active release killed under load, all of its processes at once or its main one alone, time after time. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { cgroupPids, killCgroup } from '../../src/linux/cgroup.ts'
import { processStat } from '../../src/linux/proc.ts'
import { dumpTcp } from '../../src/linux/sock-diag.ts'
import { answeredIn, type Fates, type LoadSpec, lostIn, startLoad } from './load.ts'
import { startNode } from './node.ts'
import { eventually } from './workspace.ts'

export interface Killing {
  readonly app: string
  readonly folder: string
  readonly load: LoadSpec
  readonly times: number
  /** Only the worker's main process, and not those that it forked. */
  readonly masterOnly?: boolean
}

export interface Killed {
  readonly fates: Fates
  /** Connections that the release had accepted in the moments of its ends. */
  readonly inFlight: number
  /** Connections that waited in its queues, handshake done. */
  readonly queued: number
  /** Of each of its ends, what it had accepted, and what was lost until the next release served. */
  readonly ends: readonly { readonly inFlight: number; readonly lost: number }[]
}

/** Each time a new release is killed: one that crashes again and again is started with growing delays. */
export async function killUnderLoad(
  t: TestContext,
  { app, folder, load: spec, times, masterOnly = false }: Killing,
): Promise<Killed> {
  const node = await startNode(t)
  await node.deploy(folder)
  const load = await startLoad(spec)
  t.after(() => load[Symbol.asyncDispose]())
  const untilServed = async () => {
    const before = answeredIn(await load.snapshot())
    await load.until('it serves', (fates) => answeredIn(fates) > before + 4 * (spec.clients ?? 16))
  }

  const ends: { inFlight: number; lost: number }[] = []
  let queued = 0
  await untilServed()
  for (let killed = 1; killed <= times; killed++) {
    const cgroup = join(node.cgroup, `${app}.v${killed}`)
    await stopInTheirTracks(cgroup)
    const connections = dumpTcp({ states: ['established'], port: spec.port })
    const accepted = filesOf(cgroup)
    const inFlight = connections.filter(({ inode }) => accepted.has(`socket:[${inode}]`)).length
    // A connection that nobody has accepted has no inode.
    queued += connections.filter(({ inode }) => inode === 0).length
    const before = lostIn(await load.snapshot())
    if (masterOnly) process.kill(masterIn(cgroup), 'SIGKILL')
    else killCgroup(cgroup)
    // Or else the next worker would be born frozen.
    writeFileSync(join(cgroup, 'cgroup.freeze'), '0')
    await untilServed()
    ends.push({ inFlight, lost: lostIn(await load.snapshot()) - before })
    if (killed < times) await node.deploy(folder)
  }
  const fates = await load.stop()
  return { fates, inFlight: ends.reduce((sum, end) => sum + end.inFlight, 0), queued, ends }
}

/** The process that forked the others. */
function masterIn(cgroup: string): number {
  const pids = cgroupPids(cgroup)
  const masters = pids.filter((pid) => !pids.includes(processStat(pid)?.parent ?? 0))
  assert.equal(masters.length, 1)
  assert.ok(pids.length > 1, 'it forked nothing')
  return masters[0] ?? 0
}

/** What the processes of the cgroup have open, as `socket:[4711]`; they have to be stopped. */
function filesOf(cgroup: string): ReadonlySet<string> {
  const files = (pid: number) => readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
  return new Set(cgroupPids(cgroup).flatMap(files))
}

/** Stops all processes of the cgroup, so that what they have accepted can be counted. */
async function stopInTheirTracks(cgroup: string): Promise<void> {
  writeFileSync(join(cgroup, 'cgroup.freeze'), '1')
  await eventually(() => /^frozen 1$/m.test(readFileSync(join(cgroup, 'cgroup.events'), 'utf8')))
}
