/** Asked before a deploy: will there be memory for one more release. */
import { activeOf } from '../core/app.ts'
import { refusal } from '../core/errors.ts'
import { roomInMemory } from '../core/memory-room.ts'
import { type AppName, named } from '../core/words.ts'
import { freeMemory } from '../linux/memory.ts'
import { processMemory } from '../linux/proc.ts'
import { trafficIsOn } from './listening.ts'
import { allRunning, type Node, type Running, runningOf } from './node.ts'

/**
 * Compares what the active release takes with what is free. Nothing is known of an app that does not run.
 * @returns a warning, or null if there is enough
 * @throws CutoverError `refused` if it plainly will not fit
 */
export function requireMemory(node: Node, app: AppName): string | null {
  const state = node.store.apps.find(app) === null ? null : node.store.apps.state(app)
  const active = state === null ? null : activeOf(state)
  const running = active === null ? null : runningOf(node, app, active.number)
  if (state === null || running === null) return null
  const needed = memoryOf(running)
  const { bytes: free, limitOf } = freeMemory(node.cgroup)
  const room = roomInMemory({ needed, free })
  if (room === 'enough') return null
  const where = limitOf === null ? '' : ` below the limit of ${limitOf}`
  const figures = `${named(running.release)} takes ${megabytes(needed)} MB, and ${megabytes(free)} MB are free${where}`
  if (room === 'tight') return `memory is short: ${figures}`
  throw refusal(
    `${app} was not deployed, because a second release would not fit into memory: ${figures}. Nothing was started. ` +
      `${trafficIsOn(node, app)} Make room first${standingBy(node, app, running)}.`,
  )
}

/** What its releases that stand by could give back, as the end of a sentence. */
function standingBy(node: Node, app: AppName, active: Running): string {
  const others = allRunning(node, app).filter((one) => one !== active)
  if (others.length === 0) return ''
  const takes = others.map((one) => `${named(one.release)} stands by with ${megabytes(memoryOf(one))} MB`)
  return `: ${takes.join(', ')} (standby: {keep: 0} keeps none from the next deploy on)`
}

const memoryOf = ({ instance }: Running): number => instance.pids().reduce((sum, pid) => sum + processMemory(pid), 0)

const megabytes = (bytes: number): string => Math.round(bytes / 1_000_000).toLocaleString('en-US')
