import type { Progress, StepName } from '../core/documents.ts'

/** How many lines wait for a slow reader before the output of a build is left out; steps and results never are. */
const patience = 1000

/** Progress on its way from an operation, which cannot wait, to a client, which may be slow. */
export interface ProgressQueue extends AsyncIterable<Progress> {
  push(progress: Progress): void
  /** Nothing comes after what was pushed until now. */
  end(): void
}

/** Keeps what is said until it is read, in order. Of output that the reader cannot keep up with it keeps a count instead. */
export function createProgressQueue(): ProgressQueue {
  let waiting: Progress[] = []
  let leftOut = 0
  let step: StepName = 'build'
  let ended = false
  let wake = () => {}

  const countLeftOut = () => {
    // As output, of which nobody counts the lines.
    if (leftOut > 0) waiting.push({ type: 'output', step, line: `(${leftOut} lines are left out here)` })
    leftOut = 0
  }

  return {
    push(progress) {
      if (progress.type === 'output' && waiting.length >= patience) {
        leftOut += 1
        step = progress.step
        return
      }
      countLeftOut()
      waiting.push(progress)
      wake()
    },
    end() {
      countLeftOut()
      ended = true
      wake()
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const { promise, resolve } = Promise.withResolvers<void>()
        wake = resolve
        countLeftOut()
        const taken = waiting
        waiting = []
        yield* taken
        if (taken.length > 0) continue
        if (ended) return
        await promise
      }
    },
  }
}
