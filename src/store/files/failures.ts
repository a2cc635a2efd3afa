/** What the file system refused, in words. */
import { getSystemErrorMessage } from 'node:util'
import { type CutoverError, failure } from '../../core/errors.ts'

/** The errno's name, as in `ENOENT`, or null if this is no error of the file system. */
export const codeOf = (error: unknown): string | null =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null

/** Runs it; null if what it asks for is not there. */
export async function orMissing<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

/** `cannot read /srv/shop/key.pem: permission denied`, for any error. */
export function cannot(doing: string, error: unknown): string {
  if (error instanceof Error && 'errno' in error && typeof error.errno === 'number')
    return `cannot ${doing}: ${getSystemErrorMessage(error.errno)}`
  return `cannot ${doing}: ${error instanceof Error ? error.message : String(error)}`
}

/** Something in the folder was exchanged for something else between the look at it and the copy. */
export const changedMeanwhile = (path: string): CutoverError =>
  failure(
    `${path} was replaced by something else while it was being copied, so nothing of this copy can be trusted. ` +
      'Deploy again when nothing moves files about in that folder.',
  )

/** The file system has no room left: disk, inodes, or the user's quota. */
export const isFull = (error: unknown): boolean => ['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '')
