/** What a measurement starts goes when it ends, however it ends: the clean-up half of a test, for code that is none. */
import type { TestContext } from 'node:test'

/** Runs `act` with something that the helpers of the tests take for a test: they only ever register what to undo. */
export async function withScope<T>(act: (scope: TestContext) => Promise<T>): Promise<T> {
  await using owned = new AsyncDisposableStack()
  const scope = { after: (undo: () => unknown) => owned.defer(async () => void (await undo())) }
  try {
    return await act(scope as unknown as TestContext)
  } catch (error) {
    // What undoing meets besides would hide it.
    console.error(error)
    throw error
  }
}
