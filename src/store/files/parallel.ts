/** Many small file operations at once, but not too many: Node has four threads for them. */

/**
 * Does one thing to each item, `width` at a time. After the first failure nothing new is begun; the promise rejects with it when all
 * that had begun has ended, so that the caller can clean up without anything happening behind its back.
 */
export async function inParallel<T>(
  items: Iterable<T>,
  width: number,
  signal: AbortSignal | undefined,
  act: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]()
  let failed = false
  const lane = async () => {
    for (let next = queue.next(); !next.done && !failed; next = queue.next()) {
      try {
        signal?.throwIfAborted()
        await act(next.value)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane))
  for (const result of lanes) if (result.status === 'rejected') throw result.reason
}
