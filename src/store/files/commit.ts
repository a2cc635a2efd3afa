/** The commit of the app's folder, for people to know a release by. */
import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { closeDescriptorsOnExec } from '../../linux/descriptors.ts'

/**
 * The short id of the commit that is checked out in the folder, or null: no work tree of git, no commit yet, no git, or no answer in 5
 * seconds.
 * The folder's owner runs git, because a repository's own config can name programs.
 */
export async function commitOf(folder: string): Promise<string | null> {
  try {
    const { uid, gid } = await stat(folder)
    closeDescriptorsOnExec()
    const { stdout } = await promisify(execFile)('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: folder,
      timeout: 5000,
      killSignal: 'SIGKILL',
      maxBuffer: 4096,
      env: {
        PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
        LC_ALL: 'C',
        GIT_TERMINAL_PROMPT: '0',
        GIT_OPTIONAL_LOCKS: '0',
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_CONFIG_GLOBAL: '/dev/null',
      },
      ...(process.geteuid?.() === 0 ? { uid, gid } : {}),
    })
    const commit = stdout.trim()
    return /^[0-9a-f]{4,64}$/.test(commit) ? commit : null
  } catch {
    return null
  }
}
