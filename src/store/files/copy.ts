/** A release's files: the app's folder, copied as it is at this moment, whole or not at all. */
import { chmod, mkdir, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { failure } from '../../core/errors.ts'
import { copyTree, type Owner } from './copy-tree.ts'
import { cannot, codeOf, isFull } from './failures.ts'
import { type Found, lookAt } from './look-at.ts'
import { partial, removeIfEmpty, removeTree } from './remove.ts'
import { type Need, ranOutOfRoom, requireRoom } from './room.ts'
import { fillShared } from './shared-fill.ts'
import type { SharedPlan } from './shared-plan.ts'
import type { LeftOut, Survey } from './survey.ts'

export interface CopyRequest {
  /** The app's folder, absolute. */
  readonly from: string
  /** The uid that owned it when it was decided whose the app is, so that no other folder takes its place; null: nobody decided. */
  readonly folderOwner: number | null
  /** The release's directory, `…/releases/APP/vN`. Must not exist. */
  readonly to: string
  /** `$CUTOVER_HOME`: left out where it lies in the app's folder. */
  readonly home: string
  /** The keys of the config. */
  readonly ignore: readonly string[]
  readonly shared: readonly string[]
  readonly envFiles: readonly string[]
  readonly hasBuild: boolean
  /** Where the app's shared files lie, `…/shared/APP`. */
  readonly sharedRoot: string
  /** Who gets it all; null: whoever runs the daemon. */
  readonly user: Owner | null
  readonly signal?: AbortSignal
}

export interface CopiedRelease {
  readonly files: number
  /** The sum of the files' sizes, without what is shared. */
  readonly bytes: number
  /** For people, a sentence each. */
  readonly warnings: readonly string[]
  /** What the rules kept out, for the error of a start that misses a file: see {@link missedFile}. */
  readonly leftOut: readonly LeftOut[]
}

/**
 * Copies the app's folder into a release's directory: everything but what the rules leave out and what is `shared`, which is linked.
 * Symbolic links that lead out of the folder are refused. Sockets, fifos and devices are left out with a warning, and so is Cutover's own
 * state. Files that `env_file` leads to get the mode 0600. Others may read the release where they could read the folder, else only its user.
 * Room on the disk is checked first; the copy appears under its name when it is whole.
 * @throws CutoverError; the signal's reason. Nothing remains then, neither of the release nor of what was to be shared.
 */
export async function copyRelease(request: CopyRequest): Promise<CopiedRelease> {
  const { to, user, signal } = request
  const found = await lookAt(request)
  const needs = needsOf(request, found)
  await requireRoom(needs)
  const draft = to + partial
  try {
    await makeReleasesFolder(dirname(to))
    await removeTree(draft)
    const { survey, folders, shared, readers } = found
    const differences = await copyTree({ root: survey.root, folders, into: draft, owner: user, readers, signal })
    await appear(request, found, draft)
    return {
      files: survey.files - differences.vanished.length,
      bytes: survey.bytes,
      warnings: warningsOf(survey, shared, differences.changed),
      leftOut: survey.leftOut,
    }
  } catch (error) {
    // What made the copy fail matters more than what may hinder this; removeLeftovers tries again.
    await Promise.allSettled([removeTree(draft)])
    await Promise.allSettled([removeIfEmpty(dirname(to))])
    if (isFull(error)) throw await ranOutOfRoom(needs, error)
    if (codeOf(error) === null) throw error
    throw failure(`${cannot(`copy the release to ${to}`, error)}. Nothing of it remains.`, { cause: error })
  }
}

/** The last step: what is shared is there before the release that has links to it. */
async function appear(request: CopyRequest, { shared, readers, mode }: Found, draft: string): Promise<void> {
  const { sharedRoot, user: owner, signal } = request
  const undo = await fillShared({ sharedRoot, beginnings: shared.beginnings, owner, readers, mode, signal })
  try {
    signal?.throwIfAborted()
    await rename(draft, request.to)
  } catch (error) {
    await undo()
    throw error
  }
}

/** Everybody may pass through, so that apps of other users get to their own; nobody but the daemon sees which there are. */
async function makeReleasesFolder(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o711 })
  for (const folder of [dirname(directory), directory]) await chmod(folder, 0o711)
}

function needsOf({ to, sharedRoot }: CopyRequest, { survey, shared }: Found): Need[] {
  const needs: Need[] = [{ at: to, bytes: survey.diskBytes, inodes: survey.inodes + shared.paths.length }]
  for (const beginning of shared.beginnings) {
    if (beginning.kind === 'copy')
      needs.push({ at: sharedRoot, bytes: beginning.survey.diskBytes, inodes: beginning.survey.inodes })
  }
  return needs
}

function warningsOf(survey: Survey, shared: SharedPlan, changed: readonly string[]): string[] {
  const special = [...survey.special]
  for (const beginning of shared.beginnings) {
    if (beginning.kind === 'copy') special.push(...beginning.survey.special.map((path) => `${beginning.path}/${path}`))
  }
  const warnings: string[] = []
  if (special.length > 0) warnings.push(`Left out, since they are sockets, fifos or devices: ${someOf(special)}.`)
  if (survey.holdsHome)
    warnings.push("Left out, since it is Cutover's own state: $CUTOVER_HOME lies in the app's folder.")
  if (changed.length > 0)
    warnings.push(`Written to while they were copied, so the release may have half of a change: ${someOf(changed)}.`)
  return warnings
}

const someOf = (paths: readonly string[]): string =>
  paths.length > 5 ? `${paths.slice(0, 5).join(', ')} and ${paths.length - 5} more` : paths.join(', ')
