/** What the instance of a release is made of: from the config that was kept with it. */
import type { AppConfig } from '../core/app-config.ts'
import { inherits } from '../core/strategy.ts'
import type { AppName, ReleaseNumber } from '../core/words.ts'
import type { InstanceSpec } from '../instances/instance.ts'
import type { User } from '../linux/users.ts'
import { type Environment, keptEnvironment } from '../store/files/environment.ts'
import { commandEnvironment, type Surroundings, workerEnvironment } from './environment.ts'
import { keyOf, type Node, refOf } from './node.ts'
import { oomScoreFor } from './oom.ts'
import { lendToWorker } from './users.ts'

export interface ReleaseSetup {
  readonly config: AppConfig
  readonly owner: User
  readonly directory: string
  readonly cgroup: string
  readonly spec: InstanceSpec
  /**
   * The environment of its commands.
   * @throws CutoverError `failed` if what was kept of the `env_file` cannot be read
   */
  readonly environment: () => Promise<Readonly<Record<string, string>>>
}

/**
 * A release that has to be started runs with its own config and `env`, and with the newest copy of the `env_file`: a password that was
 * changed meanwhile must not break the way back. That copy is read when the first of its programs is started, and all have the same: a release
 * that runs is taken over whatever became of the file.
 */
export function setupOf(node: Node, name: AppName, release: ReleaseNumber): ReleaseSetup {
  const { config, owner, path } = node.store.apps.config(name, release)
  let secrets: Environment | null = null
  const surroundings = async (): Promise<Surroundings> => {
    secrets ??= await newestEnvironment(node, name, release)
    return { config, release, owner, path, secrets }
  }
  const directory = node.home.release(name, release)
  const cgroup = `${node.cgroup}/${keyOf(name, release)}`
  return {
    config,
    owner,
    directory,
    cgroup,
    environment: async () => commandEnvironment(await surroundings()),
    spec: {
      cgroup,
      directory,
      command: config.run,
      beforeStart: (worker, signal) => lendToWorker(node, name, release, worker, signal),
      workers: config.workers,
      environment: async (worker) => workerEnvironment(await surroundings(), worker),
      user: owner.uid === process.getuid?.() ? null : owner,
      logFile: node.home.log(name, release),
      listeners: () => (inherits(config) ? node.steering().inherited(refOf(node.store.apps.get(name), release)) : []),
      oomScore: () => oomScoreFor(node, name, release),
      stop: config.stop,
      stopTimeoutMs: config.stopTimeoutMs,
    },
  }
}

/** What the newest release that is still on disk was given; one that is still being copied has nothing yet. */
function newestEnvironment(node: Node, name: AppName, asking: ReleaseNumber): Promise<Environment> {
  const newest = node.store.apps
    .state(name)
    .releases.findLast(({ number, onDisk, state }) => onDisk && (number === asking || state !== 'staged'))
  return keptEnvironment(node.home.release(name, newest?.number ?? 0))
}
