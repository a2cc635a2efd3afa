/** A daemon as it is, but that it ends itself with SIGKILL at the point that it was told. Its one argument is an {@link Orders}. */
import { appendFileSync } from 'node:fs'
import process from 'node:process'
import { runDaemon } from '../../src/daemon/main.ts'
import { defaultPlace } from '../../src/daemon/place.ts'
import { openEngine } from '../../src/engine/open.ts'
import { parts } from '../../src/engine/parts.ts'
import { withPoints } from './points.ts'

const operations = ['deploy', 'rollback', 'restart', 'stop', 'start', 'remove'] as const

export interface Orders {
  /** From when on points count: the first such operation, or the signal SIGUSR2. */
  readonly from: (typeof operations)[number] | 'signal'
  /** The name of the point at which it ends; null: never. */
  readonly end: string | null
  /** The file that gets the names of the points, in their order. */
  readonly record: string
}

const orders: Orders = JSON.parse(process.argv[2] ?? '')
const seen = new Map<string, number>()
let counting = false

/** How often somebody who waits is looked after, and the ports held at the end of that, depends on the time that things take: once counts. */
const isRepeated = (name: string): boolean => /what wait|ports are held/.test(name)

function at(name: string): void {
  if (!counting) return
  const times = (seen.get(name) ?? 0) + 1
  seen.set(name, times)
  if (times > 1 && isRepeated(name)) return
  const point = times === 1 ? name : `${name}, time ${times}`
  appendFileSync(orders.record, `${point}\n`)
  if (point === orders.end) process.kill(process.pid, 'SIGKILL')
}

await runDaemon({
  place: defaultPlace(),
  readyFd: 3,
  open: async (options) => {
    const engine = await openEngine(options, withPoints(parts, at))
    const begins = (operation: Orders['from']) => {
      counting ||= orders.from === operation
    }
    process.on('SIGUSR2', () => begins('signal'))
    const watched = operations.map((name) => [
      name,
      (...args: never[]) => {
        begins(name)
        return (engine[name] as (...args: never[]) => unknown)(...args)
      },
    ])
    return { ...engine, ...Object.fromEntries(watched) }
  },
})
process.exit(0)
