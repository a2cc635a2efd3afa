/** Tells each step of an operation as it begins and ends, and remembers them for the receipt. */
import { performance } from 'node:perf_hooks'
import type { Receipt, StepName } from '../core/documents.ts'
import type { Report } from './engine.ts'

export interface Steps {
  readonly done: Receipt['steps'][number][]
  readonly warnings: string[]
  /** Called with each step before it is done. */
  before: (step: StepName) => void
  /** The step that failed, if one did. */
  failed: StepName | null
  /** Runs one step. What it resolves to says in a few words what was done; what it throws has done so already. */
  run<T extends { readonly text: string; readonly us?: number }>(
    step: StepName,
    doing: string,
    act: () => Promise<T> | T,
  ): Promise<T>
  warn(text: string): void
  output(step: StepName, line: string): void
  /** Milliseconds since the operation began. */
  elapsed(): number
}

export function createSteps(report: Report): Steps {
  const began = performance.now()
  const steps: Steps = {
    done: [],
    warnings: [],
    before: () => {},
    failed: null,
    run: async (step, doing, act) => {
      steps.before(step)
      report({ type: 'begin', step, text: doing })
      const start = performance.now()
      const end = (ok: boolean, text: string, us: number | null) => {
        const ms = performance.now() - start
        steps.done.push({ step, ms, text })
        report({ type: 'end', step, ok, text, ms, us })
      }
      try {
        const result = await act()
        end(true, result.text, result.us ?? null)
        return result
      } catch (error) {
        steps.failed = step
        end(false, error instanceof Error ? error.message : String(error), null)
        throw error
      }
    },
    warn: (text) => {
      steps.warnings.push(text)
      report({ type: 'warning', text })
    },
    output: (step, line) => report({ type: 'output', step, line }),
    elapsed: () => performance.now() - began,
  }
  return steps
}
