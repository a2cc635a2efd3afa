/** Taking away what is not needed any more. That it cannot be done now is a warning: it must never keep an app, or the daemon, from going on. */
import { candidateOf, findRelease } from '../core/app.ts'
import { CutoverError } from '../core/errors.ts'
import { isAtRest } from '../core/states.ts'
import type { AppName, ReleaseNumber } from '../core/words.ts'
import { type Node, now } from './node.ts'
import { takeDown } from './take-down.ts'

/**
 * Ends the release's processes and removes its files.
 * @returns what could not be done, for people
 */
export async function cleanUp(
  node: Node,
  app: AppName,
  release: ReleaseNumber,
  { files }: { readonly files: boolean },
): Promise<string[]> {
  // Somebody may have begun to bring it up again when it is tried once more.
  const isAtRestStill = () => {
    const state = node.store.apps.find(app) === null ? null : node.store.apps.state(app)
    const record = state === null ? null : findRelease(state, release)
    return record !== null && isAtRest(record.state) && node.wanted.get(app) !== release
  }
  const end = () => takeDown(node, app, release)
  return [
    ...(await triedAgain(node, `end the processes of ${app} v${release}`, end, isAtRestStill)),
    ...(files ? await removeFiles(node, app, release) : []),
  ]
}

/**
 * Writes down that a candidate is given up: now or, where the disk is full, as soon as it can be. Until then the app has a candidate, and
 * whoever wants to bring up another one is refused.
 */
export function writeFailure(node: Node, app: AppName, release: ReleaseNumber, reason: string): void {
  try {
    // It may have been removed with its app meanwhile.
    if (node.store.apps.find(app) === null || candidateOf(node.store.apps.state(app))?.number !== release) return
    node.store.apps.change(app, { type: 'fail', release, reason, at: now() })
  } catch (error) {
    if (!(error instanceof CutoverError)) throw error
    node.log.error({ err: error, app, release }, 'that it failed cannot be written down yet')
    setTimeout(() => {
      if (!node.closing.aborted) writeFailure(node, app, release, reason)
    }, againMs).unref()
  }
}

const againMs = 1000

/** Removes the files of a release, which nothing wants any more. */
export function removeFiles(node: Node, app: AppName, release: ReleaseNumber): Promise<string[]> {
  const directory = node.home.release(app, release)
  return triedAgain(node, `remove ${directory}`, () => node.files.remove(directory))
}

const mostTries = 10

/** Like {@link tried}; what cannot be done now is tried again, as long as it is wanted. What is left then the next daemon does. */
async function triedAgain(
  node: Node,
  doing: string,
  act: () => Promise<unknown>,
  isWanted = () => true,
  tries = 1,
): Promise<string[]> {
  const problems = await tried(node, doing, act)
  if (problems.length > 0 && tries < mostTries)
    setTimeout(() => {
      if (!node.closing.aborted && isWanted()) void triedAgain(node, doing, act, isWanted, tries + 1)
    }, againMs * tries).unref()
  return problems
}

/** Runs the act; a failure becomes a sentence, in the daemon's log and in the result. */
export async function tried(node: Node, doing: string, act: () => Promise<unknown> | unknown): Promise<string[]> {
  try {
    await act()
    return []
  } catch (error) {
    return [problemOf(node, doing, error)]
  }
}

/** The same for what is done at once: false if it failed. */
export function triedAtOnce(node: Node, doing: string, act: () => unknown): boolean {
  try {
    act()
    return true
  } catch (error) {
    problemOf(node, doing, error)
    return false
  }
}

function problemOf(node: Node, doing: string, error: unknown): string {
  const problem = `could not ${doing}: ${error instanceof Error ? error.message : String(error)}`
  node.log.warn({ err: error }, problem)
  return problem
}
