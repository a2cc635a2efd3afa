/**
 * `npm run soak -- [--cutovers N] [--seed N]`: cutovers by the thousand, with crashes in between, and a table of what became of it. Ends with 1 if
 * anything was lost that no crash explains, or if anything grew without need. Needs root; all of it happens in a network namespace of its own.
 */
import '../support/namespace.ts'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { withScope } from '../../bench/scope.ts'
import { asRoot } from '../support/namespace.ts'
import { grown } from './footprint.ts'
import { soak } from './soak.ts'

const { values } = parseArgs({
  options: {
    cutovers: { type: 'string', default: '10000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
})
const [cutovers, seed] = [Number(values.cutovers), Number(values.seed)]
if (!Number.isInteger(cutovers) || cutovers < 1 || !Number.isInteger(seed)) {
  console.error('Usage: npm run soak -- [--cutovers N] [--seed N]')
  process.exit(2)
}
if (asRoot !== false) {
  console.error(`soak: ${asRoot}`)
  process.exit(3)
}

const began = performance.now()
const tell = (text: string) =>
  console.error(`${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${text}`)
tell(`seed ${seed}`)
const { footprints, crashes, ...soaked } = await withScope((scope) => soak(scope, { cutovers, seed, tell }))
console.log({ seed, seconds: Math.round((performance.now() - began) / 1000), ...soaked, crashes })
console.table(footprints)
for (const line of grown(...footprints)) {
  console.error(line)
  process.exitCode = 1
}
