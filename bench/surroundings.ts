/** Where and under which load the figures were taken: half of what they mean. */
import { cpus, loadavg, release, totalmem } from 'node:os'
import process from 'node:process'

export interface Surroundings {
  readonly at: string
  readonly kernel: string
  readonly node: string
  readonly processors: string
  readonly memoryGb: number
  /** The load average of a minute before the first measurement: what others do on the machine. */
  readonly loadBefore: number
  /** The same after the last one, our own load included. */
  readonly loadAfter: number
  readonly rounds: number
}

export const loadNow = (): number => loadavg()[0] ?? 0

export const surroundingsOf = (loadBefore: number, rounds: number): Surroundings => ({
  at: new Date().toISOString(),
  kernel: release(),
  node: process.version,
  processors: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`,
  memoryGb: Math.round(totalmem() / 1e9),
  loadBefore,
  loadAfter: loadNow(),
  rounds,
})

export const describe = ({
  at,
  kernel,
  node,
  processors,
  memoryGb,
  loadBefore,
  loadAfter,
  rounds,
}: Surroundings): string =>
  `${at.slice(0, 16).replace('T', ' ')} UTC, Linux ${kernel}, Node ${node}, ${processors}, ${memoryGb} GB. ` +
  `Load average of the last minute: ${loadBefore.toFixed(2)} before, ${loadAfter.toFixed(2)} after (its own load included). Rounds: ${rounds}.`
