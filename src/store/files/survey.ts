/** What a folder holds, looked at once, before anything of it is copied. */
import type { Dirent, Stats } from 'node:fs'
import { type FileHandle, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { failure } from '../../core/errors.ts'
import { cannot, codeOf } from './failures.ts'
import { at, type Identity, itself, look, openFolder, openToRead, same } from './handles.ts'
import { inParallel } from './parallel.ts'
import { mayRead, type Readers } from './privacy.ts'
import { type Rules, readRules } from './rules.ts'

/** Permission bits only (0 to 0o777); the name is one component. */
export interface SurveyedFile {
  readonly name: string
  readonly identity: Identity
  readonly mode: number
  readonly bytes: number
}

export interface SurveyedLink {
  readonly name: string
  readonly text: string
}

export interface SurveyedFolder {
  /** Relative to the root; empty for the root itself. */
  readonly path: string
  /** null: the folder is not in the source, it has to be made. */
  readonly identity: Identity | null
  readonly mode: number
  /** Seconds of the epoch. */
  readonly modified: number
  readonly files: readonly SurveyedFile[]
  readonly links: readonly SurveyedLink[]
}

export interface LeftOut {
  /** Relative to the app's folder; a folder ends with a slash. */
  readonly path: string
  /** Who named it: `.gitignore`, say. */
  readonly by: string
}

export interface Survey {
  readonly root: string
  /** Parents before children. */
  readonly folders: readonly SurveyedFolder[]
  readonly files: number
  /** The sum of the files' sizes. */
  readonly bytes: number
  /** What the copy takes on a disk, in whole blocks of 4,096 bytes; holes in files are not counted. */
  readonly diskBytes: number
  readonly inodes: number
  readonly leftOut: readonly LeftOut[]
  /** Sockets, fifos and devices: what runs in the folder made them, and no release is given one. */
  readonly special: readonly string[]
  /** Whether Cutover's own state lies in this folder; it is left out. */
  readonly holdsHome: boolean
}

export interface SurveyRequest {
  /** Absolute, no symbolic link. */
  readonly root: string
  /** The folder that was found under this path. */
  readonly identity: Identity
  /** null: everything belongs to it. */
  readonly rules: Rules | null
  /** Paths that are dealt with elsewhere. */
  readonly without?: ReadonlySet<string>
  readonly home: Identity
  /** For whom the copy is. */
  readonly readers: Readers | null
  readonly signal?: AbortSignal | undefined
}

/**
 * Looks at everything in the folder, several directories at a time. What vanishes meanwhile was not there.
 * @throws CutoverError with all that cannot be copied, at most 20 lines of it.
 */
export async function surveyFolder(request: SurveyRequest): Promise<Survey> {
  const found = nothingYet()
  let level: Pending[] = [{ path: '', seen: request.identity, rules: request.rules }]
  while (level.length > 0) {
    const next: Pending[] = []
    await inParallel(level, 4, request.signal, (pending) => lookInto(pending, request, found, next))
    level = next
  }
  return surveyOf(request.root, found)
}

/** The same for some files of one open directory; what is missing, or no file, is passed over. */
export async function surveyFiles(
  folder: FileHandle,
  root: string,
  names: readonly string[],
  readers: Readers | null,
): Promise<Survey> {
  const found = nothingYet()
  const files: SurveyedFile[] = []
  for (const name of names) {
    const seen = await look(folder, name)
    if (seen?.isFile()) addFile(found, files, { name, path: name, seen, readers })
  }
  found.folders.push(folderOf('', await folder.stat(), files, []))
  return surveyOf(root, found)
}

/** A survey's refusal, with the places. */
export function uncopyable(root: string, problems: readonly string[]) {
  const shown = problems.slice(0, 20)
  const more = problems.length - shown.length
  return failure(`The folder ${root} cannot be copied as it is. Nothing was copied and nothing was started.`, {
    details: more > 0 ? [...shown, `… and ${more} more`] : shown,
  })
}

/** How a file is refused that must not be handed on. */
export const notTheirs = (path: string, { uid }: Pick<Stats, 'uid'>): string =>
  `${path}: it belongs to uid ${uid}, and neither the folder's owner nor the app's user may read it; chown it, or leave it out`

const block = 4096

/** Deeper than any folder that people make, and few enough for rules with several `**` to be tried at each level. */
const deepest = 100

interface Pending {
  readonly path: string
  /** The directory as its parent showed it: nothing else is opened under its name. */
  readonly seen: Identity
  readonly rules: Rules | null
}

interface Found {
  readonly folders: SurveyedFolder[]
  readonly problems: string[]
  readonly leftOut: LeftOut[]
  readonly special: string[]
  holdsHome: boolean
  disk: number
}

async function lookInto(pending: Pending, request: SurveyRequest, found: Found, next: Pending[]): Promise<void> {
  const shownAs = pending.path === '' ? request.root : pending.path
  try {
    await using folder = await openFolder(join(request.root, pending.path), pending.seen)
    const stats = await folder.stat()
    const entries = await readdir(itself(folder), { withFileTypes: true })
    const rules = await rulesIn(folder, pending, entries)
    const files: SurveyedFile[] = []
    const links: SurveyedLink[] = []
    await inParallel(entries, 4, request.signal, async (entry) => {
      const path = pending.path === '' ? entry.name : `${pending.path}/${entry.name}`
      if (request.without?.has(path)) return
      const by = rules?.leftOut(path, entry.isDirectory())
      if (by) {
        found.leftOut.push({ path: entry.isDirectory() ? `${path}/` : path, by })
        return
      }
      const seen = await look(folder, entry.name)
      if (!seen) {
        // A name that is not UTF-8 comes with U+FFFD in place of what could not be read.
        if (entry.name.includes('\uFFFD')) found.problems.push(`${path}: its name is not valid UTF-8; rename it`)
      } else if (seen.isDirectory()) {
        if (same(seen, request.home)) found.holdsHome = true
        else if (!mayRead(request.readers, seen)) found.problems.push(notTheirs(path, seen))
        else if (path.split('/').length > deepest) found.problems.push(`${path}: nested deeper than ${deepest} folders`)
        else next.push({ path, seen, rules })
      } else if (seen.isSymbolicLink()) {
        links.push({ name: entry.name, text: await readlink(at(folder, entry.name)) })
      } else if (!seen.isFile()) {
        found.special.push(path)
      } else {
        addFile(found, files, { name: entry.name, path, seen, readers: request.readers })
      }
    })
    found.folders.push(folderOf(pending.path, stats, files, links))
  } catch (error) {
    if (codeOf(error) === null) throw error
    if (codeOf(error) === 'ENOENT' && pending.path !== '') return
    found.problems.push(`${pending.path === '' ? '.' : pending.path}: ${cannot(`read ${shownAs}`, error)}`)
  }
}

const nothingYet = (): Found => ({
  folders: [],
  problems: [],
  leftOut: [],
  special: [],
  holdsHome: false,
  disk: 0,
})

interface Candidate {
  readonly name: string
  readonly path: string
  readonly seen: Stats
  readonly readers: Readers | null
}

function addFile(found: Found, files: SurveyedFile[], { name, path, seen, readers }: Candidate): void {
  if (!mayRead(readers, seen)) {
    found.problems.push(notTheirs(path, seen))
    return
  }
  files.push({ name, identity: { dev: seen.dev, ino: seen.ino }, mode: seen.mode & 0o777, bytes: seen.size })
  found.disk += Math.ceil(Math.min(seen.size, seen.blocks * 512) / block) * block
}

const folderOf = (
  path: string,
  { dev, ino, mode, mtimeMs }: Stats,
  files: readonly SurveyedFile[],
  links: readonly SurveyedLink[],
): SurveyedFolder => ({ path, identity: { dev, ino }, mode: mode & 0o777, modified: mtimeMs / 1000, files, links })

function surveyOf(root: string, found: Found): Survey {
  if (found.problems.length > 0) throw uncopyable(root, found.problems.sort())
  const files = found.folders.flatMap((folder) => folder.files)
  return {
    root,
    folders: found.folders,
    files: files.length,
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    diskBytes: found.disk + found.folders.length * block,
    inodes: found.folders.reduce((sum, { files, links }) => sum + 1 + files.length + links.length, 0),
    leftOut: found.leftOut,
    special: found.special.sort(),
    holdsHome: found.holdsHome,
  }
}

/** A `.gitignore` that cannot be read as a file is none. */
async function rulesIn(folder: FileHandle, { path, rules }: Pending, entries: readonly Dirent[]) {
  const has = entries.some((entry) => entry.name === '.gitignore' && entry.isFile())
  // The one at the top is part of the rules from the start.
  if (!rules?.followsGitignore || path === '' || !has) return rules
  await using file = await openToRead(at(folder, '.gitignore'))
  return rules.within(path, await readRules(file, `${path}/.gitignore`))
}
