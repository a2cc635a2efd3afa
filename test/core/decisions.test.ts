import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AppEvent, type AppState, activeOf, apply, findRelease, newApp } from '../../src/core/app.ts'
import { nextRelease, type RollbackWish, rollbackTarget, toPrune, toRetire } from '../../src/core/decisions.ts'
import { CutoverError } from '../../src/core/errors.ts'

const at = '2030-01-01T00:00:00.000Z'
const tenSecondsLater = '2030-01-01T00:00:10.500Z'

const play = (state: AppState, ...events: readonly AppEvent[]): AppState => events.reduce(apply, state)

const stage = (release: number): AppEvent => ({ type: 'stage', release, label: null, at })

const bringUp = (release: number): AppEvent[] =>
  (['begin', 'warm', 'ready'] as const).map((type) => ({ type, release, at }))

const deploy = (release: number): AppEvent[] => [
  stage(release),
  ...bringUp(release),
  { type: 'cutover', kind: 'deploy', release, at },
]

const rollBack = (release: number, by = 'root'): AppEvent => ({ type: 'cutover', kind: 'rollback', release, by, at })

const retire = (release: number): AppEvent[] => (['retire', 'retired'] as const).map((type) => ({ type, release, at }))

const deployed = (...releases: readonly number[]): AppState => play(newApp, ...releases.flatMap(deploy))

const refused = (state: AppState, wish: Omit<RollbackWish, 'now'>, why: string) =>
  assert.throws(
    () => rollbackTarget(state, { ...wish, now: tenSecondsLater }),
    (error) => error instanceof CutoverError && error.kind === 'refused' && error.message === why,
    `expected: ${why}`,
  )

test('a deploy makes the release active, and the former one drains, then stands by', () => {
  const state = play(deployed(1, 2), { type: 'drained', release: 1, at })
  assert.equal(activeOf(state)?.number, 2)
  assert.equal(findRelease(state, 1)?.state, 'standby')
  assert.equal(findRelease(state, 2)?.before, 1)
})

test('a bare rollback goes to the release that was active before the present one was deployed', () => {
  const state = deployed(1, 2, 3)
  assert.deepEqual(rollbackTarget(state, { now: at }), { kind: 'target', release: 2, running: true, retiring: false })
})

test('a bare rollback skips a deploy that failed between', () => {
  const failed = play(deployed(1, 2), stage(3), { type: 'fail', release: 3, reason: 'build exited with code 1', at })
  const state = play(failed, ...deploy(4))
  assert.equal(rollbackTarget(state, { now: at }).release, 2)
  refused(state, { to: 3 }, 'v3 never went live: build exited with code 1; possible: --to v2, --to v1')
})

test('after any rollback a bare one is refused until the next deploy', () => {
  const back = play(deployed(1, 2, 3, 4), rollBack(3, 'the bake'))
  refused(back, {}, 'v4 was rolled back to v3 10 s ago by the bake; to go further: --to v2')
  assert.equal(rollbackTarget(back, { to: 2, now: at }).release, 2)

  const further = play(back, rollBack(2))
  refused(further, {}, 'v3 was rolled back to v2 10 s ago by root; to go further: --to v1')

  const anew = play(further, ...deploy(5))
  assert.equal(rollbackTarget(anew, { now: at }).release, 2)
})

test('after a rollback to the first release nothing lies further, and the message says what is possible', () => {
  refused(play(deployed(1, 2), rollBack(1)), {}, 'v2 was rolled back to v1 10 s ago by root; possible: --to v2')
})

test('a move forward by --to is no way round the guard', () => {
  const forward = play(deployed(1, 2), rollBack(1), rollBack(2))
  refused(forward, {}, 'v1 was left for v2 10 s ago by root; to go further: --to v1')
})

test('with --from a rollback acts only if that release is active', () => {
  const state = deployed(1, 2)
  refused(state, { from: 1 }, 'v2 is active, not v1: nothing was changed')
  assert.equal(rollbackTarget(state, { from: 2, now: at }).release, 1)
})

test('with nothing to go back to a rollback says why', () => {
  refused(newApp, {}, 'Nothing to roll back: no release is live')
  refused(deployed(1), {}, 'Nothing to roll back to: no release was live before v1')
  refused(deployed(1, 2), { to: 2 }, 'v2 is active already: nothing was changed')
  refused(deployed(1, 2), { to: 9 }, 'There is no v9; possible: --to v1')
})

test('a rollback to a release whose files are gone is refused', () => {
  const state = play(deployed(1, 2, 3), ...retire(1), { type: 'pruned', release: 1, at })
  refused(state, { to: 1 }, 'The files of v1 are no longer on disk (see retain); possible: --to v2')
})

test('a retired release is started and proven before a rollback to it', () => {
  const state = play(deployed(1, 2, 3), ...retire(1))
  assert.deepEqual(rollbackTarget(state, { to: 1, now: at }), {
    kind: 'target',
    release: 1,
    running: false,
    retiring: false,
  })
  assert.equal(activeOf(play(state, ...bringUp(1), rollBack(1)))?.number, 1)
})

test('a rollback to a release that is ending at this moment says so', () => {
  const state = play(deployed(1, 2), { type: 'retire', release: 1, at })
  assert.deepEqual(rollbackTarget(state, { now: at }), { kind: 'target', release: 1, running: false, retiring: true })
})

test('a release that was live and fails to start again keeps its files and can be tried once more', () => {
  const state = play(
    deployed(1, 2),
    { type: 'died', release: 1, reason: 'its processes exited', at },
    { type: 'begin', release: 1, at },
    { type: 'fail', release: 1, reason: 'not healthy within 30s', at },
  )
  assert.equal(findRelease(state, 1)?.reason, 'not healthy within 30s')
  assert.equal(rollbackTarget(state, { now: at }).release, 1)
})

test('a second deploy waits for the first', () => {
  assert.equal(nextRelease(newApp), 1)
  assert.throws(() => nextRelease(play(newApp, stage(1))), /v1 is being brought up/)
  assert.equal(nextRelease(play(newApp, stage(1), { type: 'fail', release: 1, reason: 'x', at })), 2)
})

test('the number of a removed release is not used again', () => {
  const state = play(deployed(1, 2), { type: 'remove', at })
  assert.equal(nextRelease(state), 3)
  assert.equal(activeOf(state), null)
})

test('a stopped app keeps its active release; a deploy or a rollback starts it again', () => {
  const stopped = play(deployed(1, 2), { type: 'stop', at }, { type: 'retired', release: 1, at })
  assert.equal(activeOf(stopped)?.number, 2)
  const anew = play(stopped, ...deploy(3))
  assert.equal(anew.stopped, false)
  assert.equal(findRelease(anew, 2)?.state, 'retired')
  assert.equal(play(stopped, ...bringUp(1), rollBack(1)).stopped, false)
})

test('of the releases that stand by, the most recently active are kept', () => {
  const state = deployed(1, 2, 3, 4)
  assert.deepEqual(toRetire(state, 1), [2, 1])
  assert.deepEqual(toRetire(state, 0), [3, 2, 1])
  assert.deepEqual(toRetire(play(state, rollBack(1)), 1), [3, 2])
})

test('five failed deploys do not prune the last good release', () => {
  const failing = [3, 4, 5, 6, 7].flatMap((release): AppEvent[] => [
    stage(release),
    { type: 'fail', release, reason: 'x', at },
  ])
  const state = play(deployed(1, 2), ...retire(1), ...failing)
  assert.deepEqual(toPrune(state, 2), [])
  assert.equal(findRelease(state, 1)?.onDisk, true)
  assert.equal(findRelease(state, 7)?.onDisk, false)
})

test('what was live longest ago is pruned first, and never what runs or what a bare rollback goes to', () => {
  const state = play(deployed(1, 2, 3, 4), ...retire(1), ...retire(2), ...retire(3))
  assert.deepEqual(toPrune(state, 3), [1])
  assert.deepEqual(toPrune(state, 1), [2, 1])
  assert.deepEqual(toPrune(deployed(1, 2, 3), 1), [])
})
