/** What is `shared`: uploads, an SQLite file. It lies in one place per app, and each release has a link to it. What is there, and what is not yet. */
import { readlink, realpath } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize, resolve } from 'node:path'
import { failure, usageError } from '../../core/errors.ts'
import { orMissing } from './failures.ts'
import { at, descend, type Identity, look, openFolder } from './handles.ts'
import { keptLinks } from './links.ts'
import type { Readers } from './privacy.ts'
import { type Survey, type SurveyedFolder, surveyFiles, surveyFolder } from './survey.ts'

/** Something shared that is not there yet, and what it begins as. */
export type Beginning = { readonly path: string } & (
  | {
      /** What the app's folder has. A file may come with others: the journal of a database. */
      readonly kind: 'copy'
      readonly survey: Survey
      /** The one that is shared comes last. */
      readonly names: readonly string[]
    }
  /** The folder has a link instead, to wherever its owner keeps the real thing. */
  | { readonly kind: 'link'; readonly text: string }
  | { readonly kind: 'empty folder' }
  /** The app makes the file itself, through the link. */
  | { readonly kind: 'later' }
)

export interface SharedPlan {
  /** Without trailing slashes; none lies in another. */
  readonly paths: readonly string[]
  /** Paths of the folder that are no part of a release, since they are shared. */
  readonly without: ReadonlySet<string>
  readonly beginnings: readonly Beginning[]
}

export interface SharedRequest {
  /** The app's folder, absolute, no symbolic link. */
  readonly folder: string
  readonly identity: Identity
  readonly sharedRoot: string
  /** As in the config. */
  readonly shared: readonly string[]
  readonly home: Identity
  readonly readers: Readers | null
  readonly signal?: AbortSignal | undefined
}

/**
 * Looks at what is shared already and at what the folder has to begin with. What is there is never looked into.
 * @throws CutoverError `usage` for a path that leads out of the folder, `failed` for what cannot be copied.
 */
export async function planShared(request: SharedRequest): Promise<SharedPlan> {
  const wanted = sharedPaths(request.shared)
  const beginnings: Beginning[] = []
  const without = new Set<string>()
  for (const { path, isFolder } of wanted) {
    without.add(path)
    if (!isFolder) for (const suffix of companions) without.add(path + suffix)
    if (await isThere(request.sharedRoot, path.split('/'))) continue
    const beginning = (await beginningOf(request, path)) ?? { path, kind: isFolder ? 'empty folder' : 'later' }
    beginnings.push(beginning)
  }
  return { paths: wanted.map(({ path }) => path), without, beginnings }
}

/**
 * A release's folders with the links to what is shared, and the folders those need. Parents stay before children.
 * @throws CutoverError if the release has something else in the way.
 */
export function withSharedLinks(
  folders: readonly SurveyedFolder[],
  paths: readonly string[],
  sharedRoot: string,
): SurveyedFolder[] {
  const all = new Map(folders.map((folder) => [folder.path, folder]))
  for (const path of paths) {
    const components = path.split('/')
    components.forEach((name, depth) => {
      const parentPath = components.slice(0, depth).join('/')
      const parent = all.get(parentPath)
      if (!parent) throw new Error(`no folder ${parentPath}`)
      if ([...parent.files, ...parent.links].some((entry) => entry.name === name))
        throw failure(`${path} cannot be shared: ${join(parentPath, name)} is not a folder. Nothing was started.`)
      const here = components.slice(0, depth + 1).join('/')
      if (depth === components.length - 1) {
        all.set(parentPath, { ...parent, links: [...parent.links, { name, text: join(sharedRoot, path) }] })
      } else if (!all.has(here)) {
        all.set(here, { path: here, identity: null, mode: 0o755, modified: parent.modified, files: [], links: [] })
      }
    })
  }
  return [...all.values()]
}

/** What SQLite keeps beside a database (sqlite.org/tempfiles.html): part of it until it was closed well. */
const companions = ['-wal', '-journal', '-shm']

/** A path with a trailing slash, or whose last component has no extension, is a folder if nothing else says what it is. */
function sharedPaths(shared: readonly string[]): { readonly path: string; readonly isFolder: boolean }[] {
  const all = shared.map((given) => {
    const path = normalize(given).replace(/\/+$/, '')
    const components = path.split('/')
    if (isAbsolute(given) || path === '.' || path === '' || components.includes('..') || components.includes('.git'))
      throw usageError(
        `shared: "${given}" is no path inside the app's folder. Nothing was started. Name a file or folder in it, as in "uploads".`,
      )
    return { path, isFolder: given.endsWith('/') || !/.\.[^.]+$/.test(components.at(-1) ?? '') }
  })
  return all.filter(
    ({ path }, index) =>
      all.findIndex((other) => other.path === path) === index &&
      !all.some((other) => path.startsWith(`${other.path}/`)),
  )
}

/** A link on the way counts as being there: somebody has put the real thing elsewhere, and it is left to them. */
async function isThere(root: string, components: readonly string[]): Promise<boolean> {
  let folder = await orMissing(openFolder(await realOrSame(root)))
  for (const component of components) {
    if (!folder) return false
    await using here = folder
    const seen = await look(here, component)
    if (!seen) return false
    if (!seen.isDirectory()) return true
    folder = await descend(here, [component])
  }
  await folder?.close()
  return true
}

async function beginningOf(request: SharedRequest, path: string): Promise<Beginning | null> {
  const { folder, identity, home, readers, signal } = request
  const components = path.split('/')
  const name = components.at(-1) ?? ''
  await using root = await openFolder(folder, identity)
  await using parent = await descend(root, components.slice(0, -1))
  const seen = parent && (await look(parent, name))
  if (!parent || !seen) return null
  const place = join(folder, path)
  if (seen.isSymbolicLink())
    return { path, kind: 'link', text: resolve(dirname(place), await readlink(at(parent, name))) }
  if (seen.isDirectory()) {
    const survey = await surveyFolder({ root: place, identity: seen, rules: null, home, readers, signal })
    return { path, kind: 'copy', survey: { ...survey, folders: keptLinks(survey, [place], []) }, names: [name] }
  }
  if (!seen.isFile()) return null
  const survey = await surveyFiles(
    parent,
    dirname(place),
    [...companions.map((suffix) => name + suffix), name],
    readers,
  )
  return { path, kind: 'copy', survey, names: survey.folders.flatMap(({ files }) => files.map((file) => file.name)) }
}

async function realOrSame(path: string): Promise<string> {
  return (await orMissing(realpath(path))) ?? path
}
