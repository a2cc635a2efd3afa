/** Giving what is `shared` its beginning: copied beside, then put in its place; what is there is never touched. */
import { chmod, type FileHandle, lchown, mkdir, realpath, rename, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CutoverError, failure } from '../../core/errors.ts'
import { copyTree, type Owner } from './copy-tree.ts'
import { cannot, codeOf, isFull, orMissing } from './failures.ts'
import { at, descend, look, openFolder } from './handles.ts'
import type { Readers } from './privacy.ts'
import { partial, removeEntry, removeTree } from './remove.ts'
import type { Beginning } from './shared-plan.ts'

export interface SharedFill {
  /** Belongs to the app's user, who may exchange anything in it at any moment: it is only entered through open directories. */
  readonly sharedRoot: string
  readonly beginnings: readonly Beginning[]
  readonly owner: Owner | null
  readonly readers: Readers | null
  /** Of the shared root, if it has to be made. */
  readonly mode: number
  readonly signal?: AbortSignal | undefined
}

/** Takes back what was put in place, for a release that did not come to be after all. */
export type Undo = () => Promise<void>

/**
 * All of it or nothing; big copies are made before the first thing is put in its place.
 * @throws CutoverError; ENOSPC and EDQUOT as they are; the signal's reason.
 */
export async function fillShared(fill: SharedFill): Promise<Undo> {
  if (fill.beginnings.length === 0) return async () => {}
  const root = (await orMissing(realpath(fill.sharedRoot))) ?? fill.sharedRoot
  const aside = root + partial
  const placed: string[] = []
  const undo = () => takeBack(root, placed)
  try {
    await removeTree(aside)
    await mkdir(dirname(fill.sharedRoot), { recursive: true, mode: 0o711 })
    await chmod(dirname(fill.sharedRoot), 0o711)
    await mkdir(aside, 0o700)
    for (const [index, beginning] of fill.beginnings.entries())
      await copyAside(beginning, join(aside, String(index)), fill)
    await using folder = await openRoot(root, fill)
    for (const [index, beginning] of fill.beginnings.entries())
      await putInPlace(folder, beginning, join(aside, String(index)), fill.owner, placed)
    return undo
  } catch (error) {
    await undo()
    if (error instanceof CutoverError || codeOf(error) === null || isFull(error)) throw error
    throw failure(`${cannot(`fill ${fill.sharedRoot}`, error)}. What was shared before is as it was.`, { cause: error })
  } finally {
    await removeTree(aside)
  }
}

async function copyAside(beginning: Beginning, aside: string, { owner, readers, signal }: SharedFill): Promise<void> {
  if (beginning.kind !== 'copy') return
  const { survey, names } = beginning
  const isFolder = !survey.folders[0]?.files.some((file) => names.includes(file.name)) || survey.folders.length > 1
  if (isFolder) await mkdir(aside, 0o700)
  const into = isFolder ? join(aside, names[0] ?? '') : aside
  await copyTree({ root: survey.root, folders: survey.folders, into, owner, readers, signal })
}

async function openRoot(root: string, { owner, mode }: SharedFill): Promise<FileHandle> {
  try {
    await mkdir(root, 0o700)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    return openFolder(root)
  }
  const folder = await openFolder(root)
  if (owner) await folder.chown(owner.uid, owner.gid)
  await folder.chmod(mode)
  return folder
}

async function putInPlace(
  root: FileHandle,
  beginning: Beginning,
  aside: string,
  owner: Owner | null,
  placed: string[],
): Promise<void> {
  const { path, kind } = beginning
  const name = path.split('/').at(-1) ?? ''
  const parentPath = dirname(path) === '.' ? [] : dirname(path).split('/')
  await using parent = await madeFolder(root, parentPath, owner, placed)
  // The app's user may have made it in the meantime, and then it is theirs.
  if (!parent || (await look(parent, name))) return
  if (kind === 'later') return
  if (kind === 'empty folder') {
    await using made = await madeFolder(root, path.split('/'), owner, placed)
    void made
    return
  }
  if (kind === 'link') {
    await symlink(beginning.text, at(parent, name))
    placed.push(path)
    if (owner) await lchown(at(parent, name), owner.uid, owner.gid)
    return
  }
  for (const one of beginning.names) {
    await rename(join(aside, one), at(parent, one))
    placed.push([...parentPath, one].join('/'))
  }
}

/** null if something that is no folder is in the way: it was put there by somebody who knows why. */
async function madeFolder(
  root: FileHandle,
  components: readonly string[],
  owner: Owner | null,
  placed: string[],
): Promise<FileHandle | null> {
  let here = await descend(root, [])
  for (const [depth, component] of components.entries()) {
    if (!here) return null
    await using above = here
    const isNew = await made(at(above, component))
    here = await descend(above, [component])
    if (!isNew || !here) continue
    placed.push(components.slice(0, depth + 1).join('/'))
    if (owner) await here.chown(owner.uid, owner.gid)
    await here.chmod(0o755)
  }
  return here
}

async function made(path: string): Promise<boolean> {
  try {
    await mkdir(path, 0o700)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

async function takeBack(root: string, placed: readonly string[]): Promise<void> {
  const folder = await orMissing(openFolder(root))
  if (!folder) return
  await using top = folder
  for (const path of placed.toReversed()) {
    const components = path.split('/')
    await using parent = await descend(top, components.slice(0, -1))
    if (parent) await removeEntry(parent, components.at(-1) ?? '')
  }
}
