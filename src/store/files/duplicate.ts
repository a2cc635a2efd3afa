/** The files of a release once more, for another release: as they are, what `build` made of them included. */
import { rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { failure } from '../../core/errors.ts'
import { copyTree, type Owner } from './copy-tree.ts'
import { cannot, codeOf, isFull } from './failures.ts'
import { partial, removeTree } from './remove.ts'
import { type Need, ranOutOfRoom, requireRoom } from './room.ts'
import { surveyFolder } from './survey.ts'

export interface DuplicateRequest {
  /** The directory of the one release, and of the other, which must not exist. */
  readonly from: string
  readonly to: string
  /** `$CUTOVER_HOME` */
  readonly home: string
  /** Who gets it all; null: whoever runs the daemon. */
  readonly user: Owner | null
  readonly signal?: AbortSignal
}

/**
 * Copies the release's directory; links stay as they are, those to what is `shared` among them. It appears under its name when it is whole.
 * @returns how many files, and the sum of their sizes
 * @throws CutoverError; the signal's reason. Nothing remains then.
 */
export async function duplicateRelease(request: DuplicateRequest): Promise<{ files: number; bytes: number }> {
  const { from, to, user, signal } = request
  const draft = to + partial
  let needs: Need[] = []
  try {
    const [identity, home] = await Promise.all([stat(from), stat(request.home)])
    const survey = await surveyFolder({ root: from, identity, rules: null, home, readers: null, signal })
    needs = [{ at: dirname(to), bytes: survey.diskBytes, inodes: survey.inodes }]
    await requireRoom(needs)
    await removeTree(draft)
    await copyTree({ root: from, folders: survey.folders, into: draft, owner: user, readers: null, signal })
    await rename(draft, to)
    return { files: survey.files, bytes: survey.bytes }
  } catch (error) {
    await Promise.allSettled([removeTree(draft)])
    if (isFull(error)) throw await ranOutOfRoom(needs, error)
    if (codeOf(error) === null) throw error
    throw failure(`${cannot(`copy the release to ${to}`, error)}. Nothing of it remains.`, { cause: error })
  }
}
