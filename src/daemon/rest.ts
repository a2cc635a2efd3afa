/** A daemon mostly rests, and takes as little of the machine meanwhile as it can. */
import process from 'node:process'
import { giveBackMemory } from '../linux/give-back.ts'

const lookMs = 10_000
/** What is not worth the trouble, in bytes. */
const little = 2_000_000

/** From now on memory that was needed for a while is given back soon afterwards. */
export function restBetween(): void {
  let resident = 0
  const look = () => {
    try {
      if (process.memoryUsage.rss() > resident + little) resident = giveBackMemory()
    } catch {
      // No descriptor is left to look with, for example: another time.
    }
  }
  setInterval(look, lookMs).unref()
}
