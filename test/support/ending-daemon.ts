/** A daemon as it is, but that it ends itself with SIGKILL at the point that it was told. Its one argument is an {@link Orders}. */
import { appendFileSync } from 'node:fs'
import process from 'node:process'
import { runDaemon } from '../../src/daemon/main.ts'
import { defaultPlace } from '../../src/daemon/place.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { openEngine } from '../../src/engine/open.ts'
import { parts } from '../../src/engine/parts.ts'
import { withPoints } from './points.ts'

export interface Orders {
  /** Points count from here on: from when this daemon starts, when it answers, or when the first such operation begins in it. */
  readonly from: 'start' | 'answers' | 'deploy' | 'rollback' | 'stop' | 'start-app' | 'remove'
  /** The name of the point at which it ends; null: never. */
  readonly end: string | null
  /** The file that gets the name of each point, in their order. */
  readonly record: string
}

const orders: Orders = JSON.parse(process.argv[2] ?? '')
const seen = new Map<string, number>()
let counting = orders.from === 'start'

function at(name: string): void {
  if (!counting) return
  const times = (seen.get(name) ?? 0) + 1
  seen.set(name, times)
  const point = times === 1 ? name : `${name}, time ${times}`
  appendFileSync(orders.record, `${point}\n`)
  if (point === orders.end) process.kill(process.pid, 'SIGKILL')
}

/** The engine, whose operations make the points count. */
const counted = (engine: Engine): Engine => {
  const begins = (operation: Orders['from']) => {
    counting ||= orders.from === operation
  }
  return {
    ...engine,
    deploy: (...args) => {
      begins('deploy')
      return engine.deploy(...args)
    },
    rollback: (...args) => {
      begins('rollback')
      return engine.rollback(...args)
    },
    stop: (...args) => {
      begins('stop')
      return engine.stop(...args)
    },
    start: (...args) => {
      begins('start-app')
      return engine.start(...args)
    },
    remove: (...args) => {
      begins('remove')
      return engine.remove(...args)
    },
  }
}

await runDaemon({
  place: defaultPlace(),
  readyFd: 3,
  open: async (options) => {
    const engine = await openEngine(options, withPoints(parts, at))
    counting ||= orders.from === 'answers'
    return counted(engine)
  },
})
process.exit(0)
