/** What the instance of a release is made of: from the config that was kept with it. */
import type { AppName, ReleaseNumber } from '../core/words.ts'
import type { InstanceSpec } from '../instances/instance.ts'
import { type Environment, keptEnvironment } from '../store/files/environment.ts'
import { commandEnvironment, type Surroundings, workerEnvironment } from './environment.ts'
import { keyOf, type Node } from './node.ts'
import { oomScoreFor } from './oom.ts'
import { lendToWorker } from './users.ts'

export interface ReleaseSetup extends Surroundings {
  readonly directory: string
  readonly cgroup: string
  readonly spec: InstanceSpec
  /** The environment of its commands. */
  readonly environment: Readonly<Record<string, string>>
}

/**
 * A release that has to be started runs with its own config and `env`, and with the newest copy of the `env_file`: a password that was
 * changed meanwhile must not break the way back.
 */
export async function setupOf(node: Node, name: AppName, release: ReleaseNumber): Promise<ReleaseSetup> {
  const { config, owner, path } = node.store.apps.config(name, release)
  const secrets = await newestEnvironment(node, name, release)
  const surroundings = { config, release, owner, path, secrets }
  const directory = node.home.release(name, release)
  const cgroup = `${node.cgroup}/${keyOf(name, release)}`
  return {
    ...surroundings,
    directory,
    cgroup,
    environment: commandEnvironment(surroundings),
    spec: {
      cgroup,
      directory,
      command: config.run,
      beforeStart: (worker) => lendToWorker(node, name, release, worker),
      workers: config.workers,
      environment: (worker) => workerEnvironment(surroundings, worker),
      user: owner.uid === process.getuid?.() ? null : owner,
      logFile: node.home.log(name, release),
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
