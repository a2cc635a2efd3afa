/**
 * `npm run bench`: measures what docs/performance.md tells, and prints it as one table. Needs root; all of it happens in a network namespace
 * of its own. `npm run bench -- switch rollback` measures those alone; `--rounds N` tries N times as often; `--json`; `--write` puts the
 * figures into the page.
 */
import '../test/support/namespace.ts'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { deploy } from './deploy.ts'
import { writeFigures } from './document.ts'
import { evenness } from './evenness.ts'
import type { Measured, Measurement } from './figures.ts'
import { losses } from './losses.ts'
import { rest } from './rest.ts'
import { rollback } from './rollback.ts'
import { withScope } from './scope.ts'
import { share } from './share.ts'
import { startUp } from './start-up.ts'
import { describe, loadNow, surroundingsOf } from './surroundings.ts'
import { theSwitch } from './switch.ts'
import { tableOf } from './table.ts'
import { throughput } from './throughput.ts'

const measurements: readonly Measurement[] = [
  theSwitch,
  share,
  rollback,
  deploy,
  losses,
  evenness,
  throughput,
  startUp,
  rest,
]

/** For one measurement of one round; far more than it takes. */
const patienceMs = 3 * 60_000

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '1' },
  },
})
const wanted = names.length === 0 ? measurements : measurements.filter(({ name }) => names.includes(name))
const unknown = names.filter((name) => !measurements.some((one) => one.name === name))
const rounds = Number(options.rounds)

if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1 || rounds > 20) {
  console.error(
    `Usage: npm run bench -- [--json] [--write] [--rounds 1…20] [${measurements.map(({ name }) => name).join('|')}]…`,
  )
  process.exit(2)
}
if (options.write && wanted.length < measurements.length) {
  console.error('--write takes all measurements: the page is of one run')
  process.exit(2)
}
if (process.getuid?.() !== 0) {
  console.error('bench: needs root, because steering does')
  process.exit(3)
}

const loadBefore = loadNow()
const results: Measured[] = []
const interrupted = Promise.withResolvers<never>()
interrupted.promise.catch(() => {})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.reject(new Error(signal)))
for (const { measure, ...measurement } of wanted) {
  process.stderr.write(`${measurement.title} … `)
  const began = performance.now()
  const figures = await withScope((scope) => Promise.race([measure(scope, rounds), late(), interrupted.promise]))
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0)} s\n`)
  results.push({ ...measurement, figures })
}
const surroundings = surroundingsOf(loadBefore, rounds)
if (options.write) writeFigures(results, surroundings)
if (options.json) console.log(JSON.stringify({ schema: 1, surroundings, measurements: results }, null, 2))
else console.log(`\n${tableOf(results)}\n\n${describe(surroundings)}`)
process.exit()

/** Whatever hangs or is interrupted, what it started is still undone. */
async function late(): Promise<never> {
  await sleep(patienceMs * rounds, undefined, { ref: false })
  throw new Error('it hangs')
}
