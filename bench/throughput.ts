import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { startNode } from '../test/support/node.ts'
import { type Figure, figure, type Measurement } from './figures.ts'
import { appFolder, givenFolder, ports, startPeers } from './proxied-app.ts'
import { ratiosOf } from './statistics.ts'

const runs = 12
const seconds = 1
const connections = 32

type Way = keyof typeof ports
const ways = Object.keys(ports) as Way[]
const kinds = { short: ['-H', 'Connection: close'], 'keep-alive': [] } as const

export const throughput: Measurement = {
  name: 'throughput',
  title: 'Throughput through steering',
  how: `nginx as the app, its one worker answering a few bytes: requests per second by wrk over ${connections} connections, a new one for each request or kept alive. Steered by Cutover; shared, its socket given to it; bare, without Cutover; and the bare one behind nginx and behind HAProxy, which stand for every proxy. ${runs} runs of ${seconds} s each, all five in turns, a ratio for each turn. wrk, app and proxy share the processors, so that the ratio counts, not the rate.`,

  async measure(scope, rounds) {
    // On loopback every connection leaves its port behind for a minute; the kernel may use it again after a second.
    writeFileSync('/proc/sys/net/ipv4/ip_local_port_range', '10000 65000')
    const node = await startNode(scope)
    await node.deploy(appFolder(scope, ports.steered))
    await node.deploy(givenFolder(scope, ports.shared))
    await startPeers(scope)
    const figures: Figure[] = []
    for (const [kind, options] of Object.entries(kinds)) {
      const rates: Record<Way, number[]> = { steered: [], shared: [], bare: [], nginx: [], haproxy: [] }
      for (let run = 0; run < runs * rounds; run++) {
        // Who comes first changes, so that a machine that gets slower favours nobody.
        for (const turn of ways.keys()) {
          const way = ways[(run + turn) % ways.length] as Way
          rates[way].push(await rateOf(ports[way], options))
        }
      }
      figures.push(
        figure(`${kind}: steered to bare`, 'ratio', ratiosOf(rates.steered, rates.bare), { atLeast: 0.98 }),
        figure(`${kind}: shared to bare`, 'ratio', ratiosOf(rates.shared, rates.bare), { atLeast: 0.98 }),
        figure(`${kind}: behind nginx to bare`, 'ratio', ratiosOf(rates.nginx, rates.bare)),
        figure(`${kind}: behind HAProxy to bare`, 'ratio', ratiosOf(rates.haproxy, rates.bare)),
        figure(`${kind}: bare`, '/s', rates.bare),
      )
    }
    return figures
  },
}

/** Requests per second; fails if any of them was not answered. */
async function rateOf(port: number, options: readonly string[]): Promise<number> {
  const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, ...options, `http://127.0.0.1:${port}/`]
  const { stdout } = await promisify(execFile)('wrk', args)
  const rate = Number(/^Requests\/sec:\s+([\d.]+)$/m.exec(stdout)?.[1])
  if (!(rate > 0) || /Socket errors|Non-2xx/.test(stdout)) throw new Error(`wrk said:\n${stdout}`)
  return rate
}
