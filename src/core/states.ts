/** The states of a release, and the one table of the steps between them. Nothing else says which step exists. */
import type { ReleaseState } from './words.ts'

interface Step {
  readonly from: readonly ReleaseState[]
  readonly to: ReleaseState
}

/** staged → starting → warming → ready → active → draining → standby → retiring → retired, and the ways back and out. */
export const steps = {
  /** Its processes are started: for the first time, or again for a rollback to a release that does not run. */
  begin: { from: ['staged', 'retired', 'failed'], to: 'starting' },
  warm: { from: ['starting'], to: 'warming' },
  ready: { from: ['warming'], to: 'ready' },
  /** It gets the new connections from here on. */
  enter: { from: ['ready', 'draining', 'standby'], to: 'active' },
  /** Another one got the new connections. */
  leave: { from: ['active'], to: 'draining' },
  /** It is over at once: nothing of it runs, so there is nothing to drain. */
  end: { from: ['active', 'draining', 'standby', 'retiring'], to: 'retired' },
  drained: { from: ['draining'], to: 'standby' },
  retire: { from: ['draining', 'standby'], to: 'retiring' },
  retired: { from: ['retiring'], to: 'retired' },
  /** Its processes ended without having been asked to. An active release stays active and is started again. */
  died: { from: ['draining', 'standby', 'retiring'], to: 'retired' },
  fail: { from: ['staged', 'starting', 'warming', 'ready'], to: 'failed' },
} as const satisfies Readonly<Record<string, Step>>

export type StepOfRelease = keyof typeof steps

/** Being brought up: an app has at most one such release. */
export const isCandidate = (state: ReleaseState): boolean => steps.fail.from.some((from) => from === state)

/** Left, but running: it can take over at once. */
export const isStandingBy = (state: ReleaseState): boolean => steps.retire.from.some((from) => from === state)

/** Without processes that matter: its files may go. */
export const isAtRest = (state: ReleaseState): boolean => state === 'retired' || state === 'failed'

/**
 * The state after the step.
 * @throws IllegalStep if the table does not know it.
 */
export function step(from: ReleaseState, name: StepOfRelease): ReleaseState {
  const { from: allowed, to }: Step = steps[name]
  if (!allowed.includes(from)) throw new IllegalStep(`no step '${name}' from ${from}, only from ${allowed.join(', ')}`)
  return to
}

/** A step that the table does not know: a defect of whoever asked for it, and nothing was changed. */
export class IllegalStep extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'IllegalStep'
  }
}
