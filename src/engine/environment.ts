/** What an app finds in its environment: little, and nothing of the daemon's own. */
import type { AppConfig } from '../core/app-config.ts'
import { named, type ReleaseNumber } from '../core/words.ts'
import type { User } from '../linux/users.ts'

export interface Surroundings {
  readonly config: AppConfig
  readonly release: ReleaseNumber
  readonly owner: User
  /** The PATH of whoever deployed. */
  readonly path: string
  /** What the `env_file`s hold. */
  readonly secrets: Readonly<Record<string, string>>
}

/** The environment of the app's commands: `build`, `release`, checks. `env` overrides `env_file`, and both override PATH, HOME and LANG. */
export const commandEnvironment = ({
  config,
  release,
  owner,
  path,
  secrets,
}: Surroundings): Record<string, string> => ({
  PATH: path,
  HOME: owner.home,
  LANG: process.env.LANG ?? 'C.UTF-8',
  ...secrets,
  ...config.env,
  PORT: String(config.ports[0]?.port ?? ''),
  CUTOVER_RELEASE: named(release),
})

export const workerEnvironment = (surroundings: Surroundings, worker: number): Record<string, string> => ({
  ...commandEnvironment(surroundings),
  CUTOVER_WORKER: String(worker),
})
