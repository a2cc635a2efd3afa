/** Taking away what is not needed any more. That it cannot be done now is a warning: it must never keep an app, or the daemon, from going on. */
import { candidateOf } from '../core/app.ts'
import { CutoverError } from '../core/errors.ts'
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
  return [
    ...(await tried(node, `end the processes of ${app} v${release}`, () => takeDown(node, app, release))),
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

/** Removes the files of a release, which nothing wants any more. What cannot be done now is tried again; what is left then the next daemon removes. */
export async function removeFiles(node: Node, app: AppName, release: ReleaseNumber, tries = 1): Promise<string[]> {
  const directory = node.home.release(app, release)
  const problems = await tried(node, `remove ${directory}`, () => node.files.remove(directory))
  if (problems.length > 0 && tries < mostTries)
    setTimeout(() => {
      if (!node.closing.aborted) void removeFiles(node, app, release, tries + 1)
    }, againMs * tries).unref()
  return problems
}

const mostTries = 10

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
