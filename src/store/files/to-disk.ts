/** Making sure of files: after a power cut there is what was on the disk, and no more. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { failure } from '../../core/errors.ts'
import { cannot } from './failures.ts'

/**
 * What was written on the path's file system until now is on its disk when this resolves: files, directories and names. By sync(1), since
 * syncfs(2) may take seconds, in which the daemon has other things to do.
 * @throws CutoverError `failed` if the disk cannot be written to
 */
export async function toDisk(path: string): Promise<void> {
  try {
    await run('sync', ['-f', path], { env: { PATH: '/usr/local/bin:/usr/bin:/bin' } })
  } catch (error) {
    throw failure(`${cannot(`write ${path} to its disk`, error)}`, { cause: error })
  }
}

const run = promisify(execFile)
