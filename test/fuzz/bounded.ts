/** How properties are tried here: from a seed that is told, for a bounded time. */
import assert from 'node:assert/strict'
import fc from 'fast-check'

/** `FUZZ_SEED` repeats what an error told; `FUZZ_RUNS` multiplies how much is tried, and the time it may take. */
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000)
const factor = Number(process.env.FUZZ_RUNS ?? 1)

const options = (runs: number) =>
  ({
    seed,
    numRuns: Math.ceil(runs * factor),
    interruptAfterTimeLimit: 20_000 * factor,
    markInterruptAsFailure: false,
    errorWithCause: true,
  }) as const

/** Fails with the seed and the smallest example. */
export function bounded<T>(property: fc.IProperty<T>, runs: number): void {
  fc.assert(property, options(runs))
}

/** The same of a property that has to be waited for. What is under way when the time is over comes to its end, too. */
export async function boundedly<T>(property: fc.IAsyncProperty<T>, runs: number): Promise<void> {
  const run = property.run.bind(property)
  let last: ReturnType<typeof run> = Promise.resolve(null)
  property.run = (value) => {
    last = run(value)
    return last
  }
  await fc.assert(property, options(runs))
  assert.equal(await last, null)
}
