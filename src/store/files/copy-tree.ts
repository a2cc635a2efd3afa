/** Writing what a survey found into a new directory. */
import { constants, type Stats } from 'node:fs'
import { chmod, copyFile, type FileHandle, lchown, lutimes, mkdir, open, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { CutoverError, failure } from '../../core/errors.ts'
import { cannot, changedMeanwhile, codeOf, isFull } from './failures.ts'
import { at, itself, openFolder, openToRead } from './handles.ts'
import { inParallel } from './parallel.ts'
import { mayRead, type Readers } from './privacy.ts'
import { notTheirs, type SurveyedFile, type SurveyedFolder, uncopyable } from './survey.ts'

export interface Owner {
  readonly uid: number
  readonly gid: number
}

export interface TreeCopy {
  /** The surveyed folder. */
  readonly root: string
  /** Parents before children. */
  readonly folders: readonly SurveyedFolder[]
  /** Must not exist; the directory it is in must be one that only the daemon writes to. */
  readonly into: string
  /** null: whoever runs this. */
  readonly owner: Owner | null
  /** Who may have the files: asked once more of what was opened, since another one may have taken its name. */
  readonly readers: Readers | null
  readonly signal?: AbortSignal | undefined
}

/** What came out differently from what the survey saw, by path. */
export interface Differences {
  /** Files that were gone when their turn came. */
  readonly vanished: readonly string[]
  /** Files that were written to while they were copied. */
  readonly changed: readonly string[]
}

/**
 * Copies the tree, copy-on-write where the file system can (ioctl_ficlonerange(2)). Kept are the content, the permission bits, the times
 * of files and directories, and holes in big files. Not kept are set-user-ID, set-group-ID and sticky bits, ACLs, extended
 * attributes, and that two names are one file: each becomes a file of its own.
 * Until it is done nobody but the daemon can enter the copy. What a failure leaves behind is the caller's to remove; nothing goes on
 * when the promise has settled.
 * @throws CutoverError naming the file; ENOSPC and EDQUOT as they are; the signal's reason.
 */
export async function copyTree({ root, folders, into, owner, readers, signal }: TreeCopy): Promise<Differences> {
  const differences = { vanished: [] as string[], changed: [] as string[] }
  const target = (folder: SurveyedFolder) => join(into, folder.path)
  for (const folder of folders) {
    signal?.throwIfAborted()
    await naming(`write ${target(folder)}`, mkdir(target(folder), 0o700))
  }
  await inParallel(folders, 4, signal, async (folder) => {
    for (const { name, text } of folder.links) {
      const path = join(target(folder), name)
      await naming(`write ${path}`, symlink(text, path))
      if (owner) await naming(`write ${path}`, lchown(path, owner.uid, owner.gid))
    }
    if (folder.files.length === 0) return
    const path = join(root, folder.path)
    await using source = await naming(`read ${path}`, openFolder(path, folder.identity))
    await inParallel(folder.files, 4, signal, async (file) => {
      const shown = join(folder.path, file.name)
      const allowed = (seen: Stats) => {
        if (!mayRead(readers, seen)) throw uncopyable(root, [notTheirs(shown, seen)])
      }
      const to = { into: join(target(folder), file.name), owner, allowed }
      const outcome = await copyOne(source, file, to, signal, join(root, shown))
      if (outcome !== 'copied') differences[outcome].push(shown)
    })
  })
  // From the bottom up: a directory that its owner may not write to gets its mode when all is in it.
  for (const folder of folders.toReversed()) {
    signal?.throwIfAborted()
    const path = target(folder)
    if (owner) await naming(`write ${path}`, lchown(path, owner.uid, owner.gid))
    await naming(`write ${path}`, chmod(path, folder.mode))
    await naming(`write ${path}`, lutimes(path, folder.modified, folder.modified))
  }
  return differences
}

/** Above this a file is copied in pieces, so that an abort need not wait for its end. */
const big = 64 * 1024 * 1024

async function copyOne(
  folder: FileHandle,
  file: SurveyedFile,
  { into, owner, allowed }: { into: string; owner: Owner | null; allowed: (seen: Stats) => void },
  signal: AbortSignal | undefined,
  shown: string,
): Promise<'copied' | 'vanished' | 'changed'> {
  await using source = await openSource(folder, file.name, shown)
  if (!source) return 'vanished'
  const before = await source.stat()
  if (!before.isFile()) throw changedMeanwhile(shown)
  allowed(before)
  await naming(`copy ${shown}`, before.size > big ? copyBig(source, before, into, signal) : copySmall(source, into))
  if (before.size > big || (before.mode & 0o7777) !== file.mode) await naming(`write ${into}`, chmod(into, file.mode))
  if (owner) await naming(`write ${into}`, lchown(into, owner.uid, owner.gid))
  await naming(`write ${into}`, lutimes(into, before.atimeMs / 1000, before.mtimeMs / 1000))
  const after = await source.stat()
  return after.mtimeMs === before.mtimeMs && after.size === before.size ? 'copied' : 'changed'
}

async function openSource(folder: FileHandle, name: string, shown: string): Promise<FileHandle | null> {
  try {
    return await openToRead(at(folder, name))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    if (codeOf(error) === 'ELOOP') throw changedMeanwhile(shown)
    throw failure(`${cannot(`read ${shown}`, error)}. Nothing of the copy remains.`, { cause: error })
  }
}

const copySmall = (source: FileHandle, into: string) =>
  copyFile(itself(source), into, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)

/** A clone if the file system can, else piece by piece, holes left out. */
async function copyBig(source: FileHandle, stats: Stats, into: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    await copyFile(itself(source), into, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL)
    return
  } catch (error) {
    if (isFull(error)) throw error
  }
  await using target = await open(into, 'wx', 0o600)
  const hasHoles = stats.blocks * 512 < stats.size
  const piece = Buffer.allocUnsafe(1024 * 1024)
  const nothing = Buffer.alloc(piece.length)
  for (let position = 0; position < stats.size; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await source.read(piece, 0, piece.length, position)
    if (bytesRead === 0) break
    const isHole = hasHoles && piece.compare(nothing, 0, bytesRead, 0, bytesRead) === 0
    for (let written = 0; !isHole && written < bytesRead; ) {
      written += (await target.write(piece, written, bytesRead - written, position + written)).bytesWritten
    }
    position += bytesRead
  }
  await target.truncate(stats.size)
}

/** An error of the file system gets words, except that the disk is full, which is a matter of the whole copy. */
async function naming<T>(doing: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof CutoverError || codeOf(error) === null || isFull(error)) throw error
    throw failure(`${cannot(doing, error)}. Nothing of the copy remains.`, { cause: error })
  }
}
