/**
 * One app's releases as plain data, and how events change them.
 *
 * Kept by `apply`, for every sequence of events that it accepts:
 * - at most one release is active, and at most one is a candidate;
 * - once a release was active there is always an active one, until `remove`; `stop` keeps it, stopped;
 * - numbers only grow, also over a `remove`.
 */
import { IllegalStep, isAtRest, isCandidate, isStandingBy, type StepOfRelease, step } from './states.ts'
import { named, type ReleaseNumber, type ReleaseState } from './words.ts'

export interface ReleaseRecord {
  readonly number: ReleaseNumber
  readonly state: ReleaseState
  readonly label: string | null
  /** When it became active the last time, counted in cutovers of the app (highest: latest); null if it never was. */
  readonly liveAt: number | null
  /** The release that was active when this one was deployed. */
  readonly before: ReleaseNumber | null
  /** Its files are there. */
  readonly onDisk: boolean
  /** Why it failed or died; null if it did not. */
  readonly reason: string | null
  /** When it came into its present state, ISO 8601 in UTC. For show. */
  readonly since: string
}

/** The last rollback, until the next deploy: it guards against a second one by mistake. */
export interface RolledBack {
  readonly from: ReleaseNumber
  readonly to: ReleaseNumber
  readonly at: string
  /** Who asked for it, as shown to people. */
  readonly by: string
}

export interface AppState {
  /** Asked for by `stop`: the active release stays recorded as active, without processes. */
  readonly stopped: boolean
  /** By number, ascending. Of those whose files are gone the last {@link remembered} stay, for people to read about. */
  readonly releases: readonly ReleaseRecord[]
  readonly rolledBack: RolledBack | null
}

interface OfRelease<Type extends string> {
  readonly type: Type
  readonly release: ReleaseNumber
  /** ISO 8601 in UTC */
  readonly at: string
}

interface OfApp<Type extends string> {
  readonly type: Type
  readonly at: string
}

interface Cutover {
  /** The former release was ended before, and does not stand by. */
  readonly formerEnded?: boolean
}

export type AppEvent =
  /** A new release is being made: `release` is what `nextRelease` says. Its files are copied and built in this state. */
  | (OfRelease<'stage'> & { readonly label: string | null })
  | OfRelease<'begin' | 'warm' | 'ready' | 'drained' | 'retire' | 'retired'>
  /** The candidate is given up. One that was never live has lost its files by that; one that was keeps them and can be tried again. */
  | (OfRelease<'fail'> & { readonly reason: string })
  /** The processes of a release that is not active ended by themselves. */
  | (OfRelease<'died'> & { readonly reason: string })
  /** New connections go to the release from here on; the app runs, if it was stopped. */
  | (OfRelease<'cutover'> & { readonly kind: 'deploy' } & Cutover)
  | (OfRelease<'cutover'> & { readonly kind: 'rollback'; readonly by: string } & Cutover)
  /** The files of a release at rest are gone. */
  | OfRelease<'pruned'>
  /** The app is to run no more: what stands by is retiring from here on. There must be no candidate. */
  | OfApp<'stop'>
  /** The active release of a stopped app serves again. */
  | OfApp<'start'>
  /** The end of the app: nothing of it runs and no files are left. */
  | OfApp<'remove'>

/** A release at rest without files is forgotten when so many have come after it. What happened to it stays in the history. */
export const remembered = 100

/** An app before its first deploy. */
export const newApp: AppState = { stopped: false, releases: [], rolledBack: null }

/**
 * The app after the event.
 * @throws IllegalStep if the event cannot happen in this state: a defect of the caller.
 */
export function apply(state: AppState, event: AppEvent): AppState {
  switch (event.type) {
    case 'stage':
      return stage(state, event)
    case 'begin':
      return begin(state, event)
    case 'warm':
    case 'ready':
    case 'drained':
    case 'retire':
    case 'retired':
      return move(state, event, event.type)
    case 'fail': {
      const neverLive = releaseOf(state, event.release).liveAt === null
      return move(state, event, 'fail', { reason: event.reason, ...(neverLive && { onDisk: false }) })
    }
    case 'died':
      return move(state, event, 'died', { reason: event.reason })
    case 'cutover':
      return cutover(state, event)
    case 'pruned': {
      const { state: present } = releaseOf(state, event.release)
      if (!isAtRest(present)) throw new IllegalStep(`the files of ${named(event.release)}, ${present}, are in use`)
      return change(state, event.release, { onDisk: false })
    }
    case 'stop':
      return stop(state, event.at)
    case 'start':
      if (!state.stopped) throw new IllegalStep('the app is not stopped')
      return change({ ...state, stopped: false }, needActive(state).number, { since: event.at })
    case 'remove':
      return { stopped: false, rolledBack: null, releases: state.releases.map((release) => removed(release, event.at)) }
  }
}

export const activeOf = (state: AppState): ReleaseRecord | null =>
  state.releases.find((release) => release.state === 'active') ?? null

/** The release that is being brought up. */
export const candidateOf = (state: AppState): ReleaseRecord | null =>
  state.releases.find((release) => isCandidate(release.state)) ?? null

export const findRelease = (state: Pick<AppState, 'releases'>, number: ReleaseNumber): ReleaseRecord | null =>
  state.releases.find((release) => release.number === number) ?? null

/** The highest number that a release of the app ever had; 0 before the first. */
export const lastNumber = (state: AppState): ReleaseNumber => state.releases.at(-1)?.number ?? 0

function stage(state: AppState, event: AppEvent & { type: 'stage' }): AppState {
  needNoCandidate(state)
  if (event.release !== lastNumber(state) + 1) {
    throw new IllegalStep(`the release after ${named(lastNumber(state))} cannot be ${named(event.release)}`)
  }
  const { release: number, label, at: since } = event
  const staged = {
    number,
    state: 'staged',
    label,
    liveAt: null,
    before: null,
    onDisk: true,
    reason: null,
    since,
  } as const
  const kept = state.releases.filter((release) => release.onDisk || release.number > number - remembered)
  return { ...state, releases: [...kept, staged] }
}

function begin(state: AppState, event: AppEvent & { release: ReleaseNumber }): AppState {
  const release = releaseOf(state, event.release)
  if (release.state !== 'staged') needNoCandidate(state)
  if (!release.onDisk) throw new IllegalStep(`the files of ${named(release.number)} are gone`)
  return move(state, event, 'begin', { reason: null })
}

function cutover(state: AppState, event: AppEvent & { type: 'cutover' }): AppState {
  const target = releaseOf(state, event.release)
  const former = activeOf(state)
  if ((event.kind === 'deploy') !== (target.liveAt === null)) {
    throw new IllegalStep(`no ${event.kind} to ${named(target.number)}: it was ${target.liveAt ? '' : 'never '}live`)
  }
  if (event.kind === 'rollback' && !former) throw new IllegalStep('no rollback of an app without an active release')

  const ended = state.stopped || event.formerEnded === true
  const left = former ? move(state, { release: former.number, at: event.at }, ended ? 'end' : 'leave') : state
  const liveAt = Math.max(0, ...state.releases.map((release) => release.liveAt ?? 0)) + 1
  const before = event.kind === 'deploy' ? (former?.number ?? null) : target.before
  const rolledBack =
    event.kind === 'rollback' && former ? { from: former.number, to: target.number, at: event.at, by: event.by } : null
  return { ...move(left, event, 'enter', { liveAt, before }), stopped: false, rolledBack }
}

function stop(state: AppState, at: string): AppState {
  needActive(state)
  needNoCandidate(state)
  if (state.stopped) throw new IllegalStep('the app is stopped already')
  const standingBy = state.releases.filter((release) => isStandingBy(release.state))
  const stopped: AppState = { ...state, stopped: true }
  return standingBy.reduce((after, { number }) => move(after, { release: number, at }, 'retire'), stopped)
}

function removed(release: ReleaseRecord, since: string): ReleaseRecord {
  if (isAtRest(release.state)) return { ...release, onDisk: false }
  if (isCandidate(release.state)) {
    return { ...release, state: step(release.state, 'fail'), reason: 'the app was removed', onDisk: false, since }
  }
  return { ...release, state: step(release.state, 'end'), onDisk: false, since }
}

/** The one place where a release changes its state. */
function move(
  state: AppState,
  { release: number, at: since }: { readonly release: ReleaseNumber; readonly at: string },
  name: StepOfRelease,
  more: Partial<ReleaseRecord> = {},
): AppState {
  const { state: from } = releaseOf(state, number)
  try {
    return change(state, number, { ...more, state: step(from, name), since })
  } catch (error) {
    if (error instanceof IllegalStep) throw new IllegalStep(`${named(number)}: ${error.message}`)
    throw error
  }
}

const change = (state: AppState, number: ReleaseNumber, fields: Partial<ReleaseRecord>): AppState => ({
  ...state,
  releases: state.releases.map((release) => (release.number === number ? { ...release, ...fields } : release)),
})

function releaseOf(state: AppState, number: ReleaseNumber): ReleaseRecord {
  const release = findRelease(state, number)
  if (!release) throw new IllegalStep(`there is no ${named(number)}`)
  return release
}

function needActive(state: AppState): ReleaseRecord {
  const active = activeOf(state)
  if (!active) throw new IllegalStep('no release of the app is active')
  return active
}

function needNoCandidate(state: AppState): void {
  const candidate = candidateOf(state)
  if (candidate) throw new IllegalStep(`${named(candidate.number)} is being brought up (${candidate.state})`)
}
