/** What may be done with an app, and what has to be done next: decided from plain values. */
import { type AppState, activeOf, candidateOf, findRelease, lastNumber, type ReleaseRecord } from './app.ts'
import { spokenDuration } from './duration.ts'
import { refusal } from './errors.ts'
import { isAtRest, isStandingBy } from './states.ts'
import { named, type ReleaseNumber } from './words.ts'

/** The highest number of a release: it has 16 bits in the kernel's maps. */
const highestNumber = 65_535

export interface RollbackTarget {
  readonly kind: 'target'
  readonly release: ReleaseNumber
  /** It runs, so that one switch is all. If not, it has to be started and proven first. */
  readonly running: boolean
  /** Its processes are being ended at this moment: wait for that before it is started. */
  readonly retiring: boolean
}

export interface RollbackWish {
  readonly to?: ReleaseNumber
  /** Only if this release is active. */
  readonly from?: ReleaseNumber
  /** The present time, ISO 8601. For the message only. */
  readonly now: string
}

/**
 * May a release be deployed now, and under which number.
 * @throws CutoverError `refused` while another one is brought up, or when the numbers are used up.
 */
export function nextRelease(state: AppState): ReleaseNumber {
  const candidate = candidateOf(state)
  if (candidate) throw refusal(`${named(candidate.number)} is being brought up; wait for it, or abort it first`)
  const next = lastNumber(state) + 1
  if (next > highestNumber)
    throw refusal(`Release numbers end at ${highestNumber}: remove the app's data to begin anew`)
  return next
}

/**
 * The release that a rollback goes to: `to`, or else the one that was active before the present one was deployed. Without `to` never
 * forward, and only once until the next deploy.
 * @throws CutoverError `refused`, with the reason and what is possible instead.
 */
export function rollbackTarget(state: AppState, { to, from, now }: RollbackWish): RollbackTarget {
  const active = activeOf(state)
  if (!active) throw refusal('Nothing to roll back: no release is live')
  if (from !== undefined && from !== active.number) {
    throw refusal(`${named(active.number)} is active, not ${named(from)}: nothing was changed`)
  }
  const target = to === undefined ? formerOf(state, active, now) : chosen(state, active, to)
  return {
    kind: 'target',
    release: target.number,
    running: isStandingBy(target.state),
    retiring: target.state === 'retiring',
  }
}

/** The releases to retire now: of those that stand by, all but the `keep` most recently active ones. */
export const toRetire = (state: AppState, keep: number): readonly ReleaseNumber[] =>
  latestFirst(state.releases.filter((release) => isStandingBy(release.state)))
    .slice(keep)
    .map((release) => release.number)

/**
 * The releases whose files may go: those at rest beyond the `retain` most recently active ones on disk. Never the one that a bare rollback
 * would go to. Releases that were never live do not count.
 */
export const toPrune = (state: AppState, retain: number): readonly ReleaseNumber[] =>
  latestFirst(state.releases.filter(isOnDiskOnceLive))
    .slice(retain)
    .filter((release) => isAtRest(release.state) && release.number !== activeOf(state)?.before)
    .map((release) => release.number)

/** Where a bare rollback goes. */
function formerOf(state: AppState, active: ReleaseRecord, now: string): ReleaseRecord {
  const former = active.before === null ? null : findRelease(state, active.before)
  if (state.rolledBack) {
    const { from, to, at, by } = state.rolledBack
    const ago = `${spokenDuration(Date.parse(now) - Date.parse(at))} ago by ${by}`
    const further = former && isOnDiskOnceLive(former) ? `; to go further: --to ${named(former.number)}` : others(state)
    throw refusal(
      `${named(from)} was ${to < from ? 'rolled back' : 'left for'} ${to < from ? 'to ' : ''}${named(to)} ${ago}${further}`,
    )
  }
  if (!former) {
    throw refusal(`Nothing to roll back to: no release was live before ${named(active.number)}${others(state)}`)
  }
  if (!isOnDiskOnceLive(former)) throw refusal(`${whyNot(former)}${others(state)}`)
  return former
}

/** Where `--to` goes. */
function chosen(state: AppState, active: ReleaseRecord, to: ReleaseNumber): ReleaseRecord {
  const target = findRelease(state, to)
  if (!target) throw refusal(`There is no ${named(to)}${others(state)}`)
  if (target === active) throw refusal(`${named(to)} is active already: nothing was changed`)
  if (!isOnDiskOnceLive(target)) throw refusal(`${whyNot(target)}${others(state)}`)
  return target
}

function whyNot({ number, liveAt, state, reason }: ReleaseRecord): string {
  if (liveAt !== null) return `The files of ${named(number)} are no longer on disk (see retain)`
  return `${named(number)} ${state === 'failed' ? `never went live: ${reason}` : 'was never live'}`
}

/** What `--to` could name, as the end of a message. */
function others(state: AppState): string {
  const possible = latestFirst(state.releases.filter(isOnDiskOnceLive)).filter(({ state }) => state !== 'active')
  return possible.length ? `; possible: ${possible.map(({ number }) => `--to ${named(number)}`).join(', ')}` : ''
}

const isOnDiskOnceLive = ({ onDisk, liveAt }: ReleaseRecord): boolean => onDisk && liveAt !== null

const latestFirst = (releases: readonly ReleaseRecord[]): readonly ReleaseRecord[] =>
  releases.toSorted((a, b) => (b.liveAt ?? 0) - (a.liveAt ?? 0))
