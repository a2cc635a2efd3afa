/** All that is to be known of an app's folder before it is copied. */
import { type FileHandle, realpath, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { failure } from '../../core/errors.ts'
import type { CopyRequest } from './copy.ts'
import { cannot, changedMeanwhile, codeOf } from './failures.ts'
import { at, type Identity, look, openFolder, openToRead, same } from './handles.ts'
import { keptLinks } from './links.ts'
import { isOpenToAll, type Readers, readersOf } from './privacy.ts'
import { type Rules, readRules, rulesOf } from './rules.ts'
import { planShared, type SharedPlan, withSharedLinks } from './shared-plan.ts'
import { type Survey, type SurveyedFolder, surveyFolder } from './survey.ts'

export interface Found {
  /** As the folder is. */
  readonly survey: Survey
  /** As the release shall be. */
  readonly folders: readonly SurveyedFolder[]
  readonly shared: SharedPlan
  readonly readers: Readers | null
  /** Of the release's directory, and of what is shared. */
  readonly mode: number
}

/** @throws CutoverError for whatever makes a copy impossible; the signal's reason. Nothing was written. */
export async function lookAt(request: CopyRequest): Promise<Found> {
  const { sharedRoot, shared: wanted, signal } = request
  const { path: root, identity, owner, mode, rules } = await openApp(request)
  const home = await stat(request.home)
  if (same(home, identity))
    throw failure(`${root} is where Cutover keeps its own state, so it cannot be an app's folder.`)
  const readers = await readersOf(owner, request.user?.uid ?? null)
  const common = { identity, home, readers, signal }
  const shared = await planShared({ ...common, folder: root, sharedRoot, shared: wanted })
  const survey = await surveyFolder({ ...common, root, rules, without: shared.without })
  const inside = keptLinks(survey, [root, resolve(request.from)], shared.paths)
  const secrets = await secretFiles(request)
  const folders = withSharedLinks(inside, shared.paths, sharedRoot).map((folder) => ({
    ...withSecrets(folder, secrets),
    mode: folder.path === '' ? mode : folder.mode,
  }))
  const beginnings = shared.beginnings.map((one) =>
    one.kind === 'copy'
      ? { ...one, survey: { ...one.survey, folders: one.survey.folders.map((folder) => withSecrets(folder, secrets)) } }
      : one,
  )
  return { survey, folders, shared: { ...shared, beginnings }, readers, mode }
}

async function openApp({ from, folderOwner, ignore, hasBuild }: CopyRequest) {
  try {
    const path = await realpath(from)
    await using folder = await openFolder(path)
    const seen = await folder.stat()
    if (folderOwner !== null && seen.uid !== folderOwner) throw changedMeanwhile(from)
    const identity: Identity = seen
    const cutoverignore = await rulesIn(folder, '.cutoverignore')
    const rules: Rules = rulesOf({ ignore, hasBuild, cutoverignore, gitignore: await rulesIn(folder, '.gitignore') })
    return { path, identity, owner: seen.uid, rules, mode: await modeFor(path, seen.mode) }
  } catch (error) {
    if (codeOf(error) === null) throw error
    throw failure(`${cannot(`read the folder ${from}`, error)}. Nothing was copied and nothing was started.`, {
      cause: error,
    })
  }
}

/**
 * Permission bits for a release: those of its folder, with all for the owner; what lies above a folder can hide it as well, so nothing
 * for others if they could not get there.
 */
const modeFor = async (folder: string, mode: number): Promise<number> =>
  (await isOpenToAll(folder)) ? (mode & 0o777) | 0o700 : 0o700

async function rulesIn(folder: FileHandle, name: string): Promise<string | null> {
  const seen = await look(folder, name)
  if (!seen?.isFile()) return null
  await using file = await openToRead(at(folder, name))
  return await readRules(file, name)
}

/** The files that `env_file` leads to, by whatever links, and under whatever other names the folder has them. */
async function secretFiles({ from, envFiles }: CopyRequest): Promise<readonly Identity[]> {
  // One that cannot be seen cannot be read either, which is told where it is.
  const seen = await Promise.all(envFiles.map((name) => stat(resolve(from, name)).catch(() => null)))
  return seen.filter((one) => one !== null)
}

/** What is in an `env_file` is for the app's user alone, whatever the mode it had. */
const withSecrets = (folder: SurveyedFolder, secrets: readonly Identity[]): SurveyedFolder => ({
  ...folder,
  files: folder.files.map((file) =>
    secrets.some((secret) => same(secret, file.identity)) ? { ...file, mode: 0o600 } : file,
  ),
})
