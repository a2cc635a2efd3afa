/** Whether a home is ours alone: whoever can write to it, or put another folder in its place, could do all that its daemon can. */
import { lstatSync, readlinkSync, type Stats } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { CutoverError } from '../core/errors.ts'
import { resolveUser } from '../linux/users.ts'

/**
 * Asked before anything of a home is used or made. Every folder on the way to it, through symbolic links too, has to belong to root or to
 * whoever asks, and must not be open to others to write, unless it is sticky, as /tmp is. What does not exist yet will be ours.
 * @throws CutoverError `unreachable`, naming the folder
 */
export function requireTrusted(home: string, uid = process.geteuid?.() ?? 0): void {
  const problem = problemOn(resolve(home), uid, mostLinks)
  if (problem === null) return
  throw new CutoverError(
    'unreachable',
    `${home} is no safe place for Cutover: ${problem}. Nothing there was used. Set CUTOVER_HOME to a folder that nobody else can write to.`,
  )
}

/** As many as the kernel follows: path_resolution(7). */
const mostLinks = 40

function problemOn(path: string, uid: number, links: number): string | null {
  for (const place of withAllAbove(path)) {
    const seen = lstatSync(place, { throwIfNoEntry: false })
    if (seen === undefined) return null
    if (seen.uid !== 0 && seen.uid !== uid) return `${place} belongs to ${resolveUser(String(seen.uid)).name}`
    if (seen.isSymbolicLink()) {
      if (links === 0) return `${place} is a symbolic link that leads nowhere`
      const problem = problemOn(resolve(dirname(place), readlinkSync(place)), uid, links - 1)
      if (problem !== null) return problem
    } else if (isOpen(seen) && (place === path || (seen.mode & sticky) === 0)) return `everybody may write to ${place}`
  }
  return null
}

const sticky = 0o1000

const isOpen = ({ mode }: Stats): boolean => (mode & 0o002) !== 0

/** The root first. */
const withAllAbove = (path: string): string[] =>
  dirname(path) === path ? [path] : [...withAllAbove(dirname(path)), path]
