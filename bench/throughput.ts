import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { promisify } from 'node:util'
import { listenersOn, whereOpen } from '../src/linux/sock-diag.ts'
import { startNode } from '../test/support/node.ts'
import { type Figure, figure, type Measurement } from './figures.ts'
import { appFolder, givenFolder, ports, startPeers } from './proxied-app.ts'
import { ratiosOf } from './statistics.ts'

const runs = { ours: 10, theirs: 6 } as const
const seconds = 1
const connections = 32

type Way = keyof typeof ports
/** Those whose apps are compared closely; the others are far off. */
const ours = ['steered', 'shared'] as const
const theirs = ['nginx', 'haproxy'] as const
const kinds = { short: ['-H', 'Connection: close'], 'keep-alive': [] } as const

export const throughput: Measurement = {
  name: 'throughput',
  title: 'Throughput through steering',
  how: `nginx as the app, its one worker answering a few bytes: requests per second by wrk over ${connections} connections, a new one for each request or kept alive. Steered by Cutover, and shared, its socket given to it: each side by side with a bare one, without Cutover, each with a processor for its worker and its wrk, which they exchange after a second; the ratio is of both seconds together, ${runs.ours} times. Behind nginx and behind HAProxy, which stand for every proxy: in turns with the bare one on all processors, ${runs.theirs} runs of ${seconds} s.`,

  async measure(scope, rounds) {
    if (cpus().length < 2) throw new Error('throughput takes two processors')
    // On loopback every connection leaves its port behind for a minute; the kernel may use it again after a second.
    writeFileSync('/proc/sys/net/ipv4/ip_local_port_range', '10000 65000')
    const node = await startNode(scope)
    await node.deploy(appFolder(scope, ports.steered))
    await node.deploy(givenFolder(scope, ports.shared))
    await startPeers(scope)
    const figures: Figure[] = []
    for (const [kind, options] of Object.entries(kinds)) {
      for (const way of ours) {
        const ratios: number[] = []
        for (let run = 0; run < runs.ours * rounds; run++) ratios.push(await sideBySide(way, 'bare', options))
        figures.push(figure(`${kind}: ${way} to bare`, 'ratio', ratios, { atLeast: 0.98 }))
      }
      await pin('bare', all)
      const rates: Record<(typeof theirs)[number] | 'bare', number[]> = { bare: [], nginx: [], haproxy: [] }
      for (let run = 0; run < runs.theirs * rounds; run++)
        for (const way of ['bare', ...theirs] as const) rates[way].push(await rateOf(way, options))
      figures.push(
        figure(`${kind}: behind nginx to bare`, 'ratio', ratiosOf(rates.nginx, rates.bare)),
        figure(`${kind}: behind HAProxy to bare`, 'ratio', ratiosOf(rates.haproxy, rates.bare)),
        figure(`${kind}: bare`, '/s', rates.bare),
      )
    }
    return figures
  },
}

const all = `0-${cpus().length - 1}`

/** Both at once, so that the machine is as fast for the one as for the other; one processor may be faster than the other, so they exchange them. */
async function sideBySide(way: Way, peer: Way, options: readonly string[]): Promise<number> {
  const ratios: number[] = []
  for (const [mine, others] of [
    ['0', '1'],
    ['1', '0'],
  ] as const) {
    const [rate, bare] = await Promise.all([rateOf(way, options, mine), rateOf(peer, options, others)])
    ratios.push(rate / bare)
  }
  return Math.sqrt(ratios.reduce((product, ratio) => product * ratio, 1))
}

const execute = promisify(execFile)

/** Whoever listens there runs on these processors alone from now on. */
async function pin(way: Way, processors: string): Promise<void> {
  const inodes = new Set(listenersOn([ports[way]]).map(({ inode }) => inode))
  const pids = new Set([...whereOpen(inodes)].map(({ pid }) => pid))
  for (const pid of pids) await execute('taskset', ['-pc', processors, String(pid)])
}

/** Requests per second; fails if any of them was not answered. Both ends have these processors for themselves; without, they stay where they are. */
async function rateOf(way: Way, options: readonly string[], processors?: string): Promise<number> {
  if (processors !== undefined) await pin(way, processors)
  const url = `http://127.0.0.1:${ports[way]}/`
  const wrk = ['wrk', '-t', '1', '-c', String(connections), '-d', `${seconds}s`, ...options, url]
  const { stdout } = await execute('taskset', ['-c', processors ?? all, ...wrk])
  const rate = Number(/^Requests\/sec:\s+([\d.]+)$/m.exec(stdout)?.[1])
  if (!(rate > 0) || /Socket errors|Non-2xx/.test(stdout)) throw new Error(`wrk said:\n${stdout}`)
  return rate
}
