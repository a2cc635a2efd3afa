/** A restart: the files of the active release as a new one, with what its `env_file`s say now, and a cutover like any other. */
import { activeOf } from '../core/app.ts'
import { nextRelease } from '../core/decisions.ts'
import type { Actor, Receipt } from '../core/documents.ts'
import { failure, refusal } from '../core/errors.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { ownerOf } from '../linux/users.ts'
import { type Environment, readEnvFiles } from '../store/files/environment.ts'
import { cannot } from '../store/files/failures.ts'
import { beginOperation, type Operation } from './cutover.ts'
import type { Report } from './engine.ts'
import { requireMemory } from './memory-room.ts'
import { copiedText, goLive, stage } from './new-release.ts'
import type { Node } from './node.ts'
import { createSteps } from './steps.ts'
import { runsAlone } from './stop-former.ts'

/**
 * Neither `build` nor `release` runs. The release that was active stands by, as after a deploy.
 * @throws CutoverError `refused` if nothing of the app is live, or it is stopped; `failed` if the new release never went live
 */
export async function restart(
  node: Node,
  app: AppName,
  by: Actor,
  report: Report,
  signal: AbortSignal,
): Promise<Receipt> {
  using lock = node.locks.take(app, 'a restart', by)
  const state = node.store.apps.state(app)
  const active = activeOf(state)
  if (active === null) throw refusal(`${app} has no live release: deploy it first.`)
  if (state.stopped) throw refusal(`${app} is stopped. To start it again: cutover start ${app}`)
  const shortOfMemory = runsAlone(node, app, active.number) ? null : requireMemory(node, app)
  const release = nextRelease(state)
  lock.isFor(`the restart as ${named(release)}`)
  const steps = createSteps(report)
  report({ type: 'release', app, release, label: active.label })
  if (shortOfMemory !== null) steps.warn(shortOfMemory)
  const operation = beginOperation(node, { app, release, kind: 'restart', step: 'copy', by, steps })
  const { config, ...around } = node.store.apps.config(app, active.number)
  return await goLive(node, { config, release, operation, signal }, async () => {
    stage(node, config, release, around, active.label)
    await duplicate(node, app, active.number, release, operation, signal)
  })
}

async function duplicate(
  node: Node,
  app: AppName,
  active: ReleaseNumber,
  release: ReleaseNumber,
  { steps }: Operation,
  signal: AbortSignal,
): Promise<void> {
  const { config, owner } = node.store.apps.config(app, active)
  const to = node.home.release(app, release)
  const user = owner.uid === process.getuid?.() ? null : owner
  await steps.run('copy', `the files of ${named(active)}`, async () => {
    const environment = await presentEnvironment(node, app, config.envFiles, user)
    const from = node.home.release(app, active)
    const copied = await node.files.duplicate({ from, to, home: node.home.directory, user, signal })
    await node.files.keepEnvironment(to, environment)
    return { text: `${copiedText(copied)}, of ${named(active)}` }
  })
}

/** What the `env_file`s in the app's folder say now. Without any the folder need not be there any more. */
async function presentEnvironment(
  node: Node,
  app: AppName,
  files: readonly string[],
  user: { readonly uid: number; readonly gid: number } | null,
): Promise<Environment> {
  if (files.length === 0) return {}
  const { directory: folder } = node.store.apps.get(app)
  return await readEnvFiles({ folder, folderOwner: ownerOfFolder(folder), files, user })
}

function ownerOfFolder(folder: string): number {
  try {
    return ownerOf(folder).uid
  } catch (error) {
    throw failure(`the app's folder, where its env_file is, is not there: ${cannot(`read ${folder}`, error)}`, {
      cause: error,
    })
  }
}
