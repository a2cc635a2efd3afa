/** The promises of the core, over any sequence of commands and failures, through the table that the engine runs on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type AppEvent,
  type AppState,
  activeOf,
  apply,
  candidateOf,
  findRelease,
  lastNumber,
  newApp,
  type ReleaseRecord,
  remembered,
} from '../../src/core/app.ts'
import { nextRelease, rollbackTarget, toPrune, toRetire } from '../../src/core/decisions.ts'
import { CutoverError } from '../../src/core/errors.ts'
import { IllegalStep, isAtRest, isCandidate, isStandingBy } from '../../src/core/states.ts'

const at = '2030-01-01T00:00:00.000Z'
const keep = 1
const retain = 3

/** What may happen next, and how often. */
const happenings = [
  ['deploy', 40],
  ['deploy until live', 80],
  ['proceed', 80],
  ['fail', 30],
  ['roll back', 40],
  ['roll back to', 50],
  ['drained', 40],
  ['housekeeping', 50],
  ['retired', 40],
  ['died', 20],
  ['stop', 20],
  ['start', 20],
  ['remove', 2],
] as const

interface Happening {
  readonly what: (typeof happenings)[number][0]
  /** Picks a release where one has to be picked. */
  readonly n: number
}

const sequences: fc.Arbitrary<readonly Happening[]> = fc.array(
  fc.record({
    what: fc.oneof(...happenings.map(([what, weight]) => ({ weight, arbitrary: fc.constant(what) }))),
    n: fc.nat(999),
  }),
  { maxLength: 120, size: 'max' },
)

/** What a history of one app looks like from outside, beside its state. */
interface Run {
  readonly state: AppState
  /** Live now or before, since the app was removed the last time. */
  readonly wasLive: boolean
  /** The rollback whose target is being brought up, if the candidate is one. */
  readonly rollingBack: boolean
}

const start: Run = { state: newApp, wasLive: false, rollingBack: false }

/** The engine's part, as plainly as it can be: decides by the core's decisions, moves by events alone. */
function next(run: Run, { what, n }: Happening): Run {
  const { state } = run
  const candidate = candidateOf(state)
  const picked = 1 + (n % (lastNumber(state) + 1))
  switch (what) {
    case 'deploy':
      return attempt(run, () => [{ type: 'stage', release: nextRelease(state), label: null, at }])
    case 'deploy until live':
      return candidate ? run : goLive(run)
    case 'proceed':
      return candidate ? after(run, [furtherStep(candidate, run.rollingBack)]) : run
    case 'fail':
      return candidate ? after(run, [{ type: 'fail', release: candidate.number, reason: 'it exited', at }]) : run
    case 'roll back':
    case 'roll back to':
      return candidate ? run : attempt(run, () => rollBack(state, what === 'roll back' ? undefined : picked))
    case 'drained':
      return forEach(run, (release) => release.state === 'draining', 'drained')
    case 'retired':
      return forEach(run, (release) => release.state === 'retiring', 'retired')
    case 'housekeeping':
      return after(run, [
        ...toRetire(state, keep).map((release) => ({ type: 'retire', release, at }) as const),
        ...toPrune(state, retain).map((release) => ({ type: 'pruned', release, at }) as const),
      ])
    case 'died': {
      const release = findRelease(state, picked)
      return release && isStandingBy(release.state)
        ? after(run, [{ type: 'died', release: picked, reason: 'gone', at }])
        : run
    }
    case 'stop':
      return activeOf(state) && !candidate && !state.stopped ? after(run, [{ type: 'stop', at }]) : run
    case 'start':
      return state.stopped ? after(run, [{ type: 'start', at }]) : run
    case 'remove':
      return { ...after(run, [{ type: 'remove', at }]), wasLive: false }
  }
}

const goLive = (run: Run): Run =>
  (['deploy', 'proceed', 'proceed', 'proceed', 'proceed'] as const).reduce(
    (now, what) => next(now, { what, n: 0 }),
    run,
  )

function furtherStep({ number: release, state }: ReleaseRecord, rollingBack: boolean): AppEvent {
  if (state === 'staged') return { type: 'begin', release, at }
  if (state === 'starting') return { type: 'warm', release, at }
  if (state === 'warming') return { type: 'ready', release, at }
  return rollingBack
    ? { type: 'cutover', kind: 'rollback', release, by: 'root', at }
    : { type: 'cutover', kind: 'deploy', release, at }
}

function rollBack(state: AppState, to: number | undefined): readonly AppEvent[] {
  const { release, running, retiring } = rollbackTarget(state, { now: at, ...(to !== undefined && { to }) })
  if (running) return [{ type: 'cutover', kind: 'rollback', release, by: 'root', at }]
  return [...(retiring ? [{ type: 'retired', release, at } as const] : []), { type: 'begin', release, at }]
}

/** A refusal is a fine answer; it changes nothing. */
function attempt(run: Run, events: () => readonly AppEvent[]): Run {
  try {
    return after(run, events())
  } catch (error) {
    if (error instanceof CutoverError && error.kind === 'refused') return run
    throw error
  }
}

function after(run: Run, events: readonly AppEvent[]): Run {
  const state = events.reduce(apply, run.state)
  const candidate = candidateOf(state)
  return {
    state,
    rollingBack: candidate !== null && candidate.liveAt !== null,
    wasLive: run.wasLive || activeOf(state) !== null,
  }
}

const forEach = (run: Run, which: (release: ReleaseRecord) => boolean, type: 'drained' | 'retired'): Run =>
  after(
    run,
    run.state.releases.filter(which).map(({ number: release }) => ({ type, release, at })),
  )

/** Every state that a sequence leads through, with the one before it. */
function* through(sequence: readonly Happening[]): Generator<{ before: Run; now: Run; happening: Happening }> {
  let before = start
  for (const happening of sequence) {
    const now = next(before, happening)
    yield { before, now, happening }
    before = now
  }
}

const always = (name: string, promise: (step: { before: Run; now: Run; happening: Happening }) => void) =>
  test(name, () => {
    fc.assert(
      fc.property(sequences, (sequence) => {
        for (const step of through(sequence)) promise(step)
      }),
      { numRuns: 1000 },
    )
  })

always('never are two releases active, nor two brought up at once, and what runs has its files', ({ now: { state } }) =>
  assertWhole(state),
)

always('an app that once had an active release has one until it is removed, stopped or not', ({ now }) => {
  if (now.wasLive) assert.ok(activeOf(now.state))
})

always('numbers are never used again, and no release is forgotten before its time', ({ before, now }) => {
  assert.deepEqual(
    now.state.releases.map((release) => release.number),
    Array.from({ length: lastNumber(now.state) }, (_, index) => index + 1),
  )
  assert.ok(lastNumber(now.state) >= lastNumber(before.state))
})

always(
  'a rollback never goes forward by itself, and a second one needs a deploy between',
  ({ before, now, happening }) => {
    if (happening.what !== 'roll back' || now === before) return
    const target = rollbackTarget(before.state, { now: at }).release
    assert.equal(before.state.rolledBack, null)
    assert.ok(target < (activeOf(before.state)?.number ?? 0))
    assert.equal(target, activeOf(before.state)?.before)
  },
)

always(
  'pruning takes only what rests, never the last good one, and failed deploys do not count',
  ({ now: { state } }) => {
    const kept = state.releases.filter((release) => release.onDisk && !toPrune(state, retain).includes(release.number))
    for (const number of toPrune(state, 0)) assert.ok(isAtRest(findRelease(state, number)?.state ?? 'active'))
    const live = state.releases.filter((release) => release.onDisk && release.liveAt !== null)
    assert.ok(kept.filter((release) => release.liveAt !== null).length >= Math.min(live.length, retain))
    const former = activeOf(state)?.before ?? 0
    assert.ok(!toPrune(state, 0).includes(former))
    for (const release of state.releases) if (!isAtRest(release.state)) assert.ok(release.onDisk)
  },
)

always('after housekeeping at most `keep` releases stand by: those that were active last', ({ now: { state } }) => {
  const standing = state.releases.filter((release) => isStandingBy(release.state))
  const retired = toRetire(state, keep)
  assert.equal(standing.length - retired.length, Math.min(keep, standing.length))
  const oldestKept = Math.min(
    ...standing.filter(({ number }) => !retired.includes(number)).map(({ liveAt }) => liveAt ?? 0),
  )
  for (const number of retired) assert.ok((findRelease(state, number)?.liveAt ?? 0) < oldestKept)
})

/** Every event that can be written down about the app, sensible or not. */
function everyEvent(state: AppState): readonly AppEvent[] {
  const releases = [0, ...state.releases.map(({ number }) => number), lastNumber(state) + 1, lastNumber(state) + 2]
  const ofReleases = releases.flatMap((release): readonly AppEvent[] => [
    { type: 'stage', release, label: null, at },
    ...(['begin', 'warm', 'ready', 'drained', 'retire', 'retired', 'pruned'] as const).map((type) => ({
      type,
      release,
      at,
    })),
    ...(['fail', 'died'] as const).map((type) => ({ type, release, reason: 'so', at })),
    { type: 'cutover', kind: 'deploy', release, at },
    { type: 'cutover', kind: 'rollback', release, by: 'root', at },
  ])
  return [...ofReleases, { type: 'stop', at }, { type: 'start', at }]
}

/** What the core promises of any state. */
function assertWhole(state: AppState): void {
  const active = state.releases.filter((release) => release.state === 'active')
  assert.ok(active.length <= 1)
  assert.ok(state.releases.filter((release) => isCandidate(release.state)).length <= 1)
  for (const release of state.releases) if (!isAtRest(release.state)) assert.ok(release.onDisk)
  const lived = state.releases.flatMap(({ liveAt }) => liveAt ?? [])
  assert.equal(new Set(lived).size, lived.length)
  if (active[0]) assert.equal(active[0].liveAt, Math.max(...lived))
  if (active[0]?.before) assert.ok(active[0].before < active[0].number)
  if (state.stopped) assert.ok(active.length === 1 && !state.releases.some((release) => isStandingBy(release.state)))
}

test('in any state, any event either is thrown out or keeps every promise: nothing but a cutover moves traffic', () => {
  fc.assert(
    fc.property(sequences, (sequence) => {
      const { state } = sequence.reduce(next, start)
      for (const event of everyEvent(state)) {
        let after: AppState
        try {
          after = apply(state, event)
        } catch (error) {
          assert.ok(error instanceof IllegalStep, String(error))
          continue
        }
        assertWhole(after)
        if (event.type === 'cutover') assert.equal(activeOf(after)?.number, event.release)
        else assert.equal(activeOf(after)?.number, activeOf(state)?.number)
        assert.deepEqual(
          after.releases.map(({ number }) => number),
          [...state.releases.map(({ number }) => number), ...(event.type === 'stage' ? [lastNumber(state) + 1] : [])],
        )
      }
    }),
    { numRuns: 1000 },
  )
})

test('a release at rest without files is forgotten when a hundred have come after it; one with files is not', () => {
  let state = newApp
  const change = (type: 'stage' | 'fail' | 'begin' | 'warm' | 'ready' | 'cutover', release: number): void => {
    const event = { release, at, label: null, reason: 'so', kind: 'deploy' as const }
    state = apply(state, { ...event, type } as AppEvent)
  }
  for (const type of ['stage', 'begin', 'warm', 'ready', 'cutover'] as const) change(type, 1)
  for (let release = 2; release < remembered + 20; release++) {
    change('stage', release)
    change('fail', release)
  }
  const numbers = state.releases.map(({ number }) => number)
  assert.deepEqual([numbers[0], numbers[1], numbers.at(-1)], [1, 20, remembered + 19])
  assert.equal(numbers.length, remembered + 1)
})
