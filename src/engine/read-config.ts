/** The config of an app, from its folder. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { AppConfig } from '../core/app-config.ts'
import { configName, configProblem, mostConfig, type Problem, parseConfig } from '../core/config.ts'
import { type CutoverError, failure, usageError } from '../core/errors.ts'
import { exhausted } from '../core/exhausted.ts'
import { readSmall } from '../store/files/small-file.ts'

/**
 * The checked `cutover.yaml` of the folder.
 * @throws CutoverError `usage` if there is none, if it cannot be read, or with all that is wrong in it
 */
export async function readConfig(directory: string): Promise<AppConfig> {
  return parseConfig(await textIn(directory), { file: configName, cores: availableParallelism() })
}

/** The error for a config that is right by itself but cannot be on this node. */
export async function problemIn(directory: string, problem: Problem): Promise<CutoverError> {
  return configProblem(await textIn(directory), configName, problem)
}

/** The text of the folder's `cutover.yaml`. @throws CutoverError `usage`, in words; `failed` if the daemon has nothing left to read it with */
export const textIn = (directory: string): Promise<string> =>
  readSmall(join(directory, configName), mostConfig).catch((error: NodeJS.ErrnoException) => {
    const nothingLeft = exhausted(error)
    if (nothingLeft !== null)
      throw failure(`${join(directory, configName)} cannot be read: ${nothingLeft}. Nothing was started.`, {
        cause: error,
      })
    throw usageError(unreadable(directory, error))
  })

function unreadable(directory: string, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') {
    return `There is no ${configName} in ${directory}. Go to the app's folder, or write one: app, run and port are enough, and cutover init guesses them.`
  }
  const why = code === 'EACCES' ? 'no permission' : (code ?? message)
  return `${join(directory, configName)} cannot be read: ${why}.`
}
