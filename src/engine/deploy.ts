/** A deploy, from the app's folder to a live release: copy, build, release command, bring-up, cutover. Until the cutover all of it is undone if it fails. */

import type { AppConfig } from '../core/app-config.ts'
import type { Problem } from '../core/config.ts'
import { nextRelease } from '../core/decisions.ts'
import type { Actor, Receipt } from '../core/documents.ts'
import { failure } from '../core/errors.ts'
import { strategyOf } from '../core/strategy.ts'
import { type AppName, named, type ReleaseNumber } from '../core/words.ts'
import { describeExit } from '../linux/process.ts'
import { ownerOf, resolveUser, type User } from '../linux/users.ts'
import { commitOf } from '../store/files/commit.ts'
import { readEnvFiles } from '../store/files/environment.ts'
import type { LeftOut } from '../store/files/survey.ts'
import { beginOperation, type Operation } from './cutover.ts'
import type { DeployRequest, Report } from './engine.ts'
import { setupOf } from './instance-spec.ts'
import { requireMemory } from './memory-room.ts'
import { copiedText, goLive, stage } from './new-release.ts'
import type { Node } from './node.ts'
import { claimedPort, requireFree } from './ports.ts'
import { problemIn, readConfig } from './read-config.ts'
import { createSteps } from './steps.ts'
import { changeOfStrategy, checksAnother, decided, requireSameWay } from './way.ts'

/**
 * Makes a new release of the app in the folder and takes it live.
 * @throws CutoverError `usage` or `refused` before anything was started; `failed` if it never went live, with nothing of it left behind
 */
export async function deploy(
  node: Node,
  request: DeployRequest,
  by: Actor,
  report: Report,
  signal: AbortSignal,
): Promise<Receipt> {
  const written = await readConfig(request.directory)
  using lock = node.locks.take(written.app, 'a deploy', by)
  const folderOwner = ownerOf(request.directory)
  const owner = runsAs(written, folderOwner)
  const problem = claimedPort(node, written) ?? foreignUser(owner)
  if (problem !== null) throw await problemIn(request.directory, problem)
  await requireFree(node, written)
  const config = decided(node, written)
  requireSameWay(node, config.app, config)

  const shortOfMemory = strategyOf(config) === 'stop-start' ? null : requireMemory(node, config.app)

  // Whoever wants it to end is heard once it is written down: then what became of it is told.
  const label = request.label ?? (await commitOf(request.directory))
  node.store.apps.open(config.app, request.directory)
  const steps = createSteps(report)
  const release = nextRelease(node.store.apps.state(config.app))
  lock.isFor(`the deploy of ${named(release)}`)
  report({ type: 'release', app: config.app, release, label })
  for (const warning of [
    rootWarning(config, owner, folderOwner),
    shortOfMemory,
    changeOfStrategy(node, config.app, config),
    checksAnother(config),
  ])
    if (warning !== null) steps.warn(warning)
  node.watchLogs(config.app)
  const operation = beginOperation(node, { app: config.app, release, kind: 'deploy', step: 'copy', by, steps })

  return await goLive(node, { config, release, operation, signal }, async (leftOut) => {
    stage(node, config, release, { owner, path: request.path }, label)
    leftOut.push(...(await copy(node, request.directory, config, release, { owner, folderOwner }, operation, signal)))
    await command(node, 'build', config.build, config.app, release, operation, signal)
    await command(node, 'release', config.release, config.app, release, operation, signal)
  })
}

async function copy(
  node: Node,
  directory: string,
  config: AppConfig,
  release: ReleaseNumber,
  { owner, folderOwner }: { readonly owner: User; readonly folderOwner: User },
  { steps }: Operation,
  signal: AbortSignal,
): Promise<readonly LeftOut[]> {
  const { app, ignore, shared, envFiles } = config
  const to = node.home.release(app, release)
  const user = owner.uid === process.getuid?.() ? null : owner
  const copied = await steps.run('copy', directory, async () => {
    const environment = await readEnvFiles({
      folder: directory,
      folderOwner: folderOwner.uid,
      files: envFiles,
      user,
    })
    const copied = await node.files.copy({
      from: directory,
      folderOwner: folderOwner.uid,
      to,
      home: node.home.directory,
      ignore,
      shared,
      envFiles,
      hasBuild: config.build !== null,
      sharedRoot: node.home.shared(app),
      user,
      signal,
    })
    await node.files.keepEnvironment(to, environment)
    return { ...copied, text: copiedText(copied) }
  })
  for (const warning of copied.warnings) steps.warn(warning)
  return copied.leftOut
}

/** `build` and `release`: run in the release's directory as its user; their output is shown live and kept in the release's log. */
async function command(
  node: Node,
  step: 'build' | 'release',
  words: readonly string[] | null,
  app: AppName,
  release: ReleaseNumber,
  { steps }: Operation,
  signal: AbortSignal,
): Promise<void> {
  if (words === null) return
  const { directory, environment, spec, cgroup } = setupOf(node, app, release)
  const { user, logFile } = spec
  await steps.run(step, words.join(' '), async () => {
    const onLine = (line: string) => steps.output(step, line)
    const status = await node.commands.run({
      command: words,
      directory,
      environment: await environment(),
      user,
      cgroup: `${cgroup}/${step}`,
      logFile,
      onLine,
      signal,
    })
    if (status.code !== 0) throw failure(`${words.join(' ')} ${describeExit(status)}`)
    return { text: words.join(' ') }
  })
}

/** Whom the app runs as. An ordinary user's daemon starts everything as that user. */
function runsAs({ user }: AppConfig, folderOwner: User): User {
  if (user !== null) return resolveUser(user)
  const self = process.geteuid?.() ?? 0
  return self === 0 ? folderOwner : resolveUser(String(self))
}

function foreignUser({ uid, name }: User): Problem | null {
  const self = process.geteuid?.() ?? 0
  if (self === 0 || self === uid) return null
  return { path: ['user'], message: `${name}: only a daemon that runs as root can start programs as another user` }
}

/** What whoever deploys should know about an app that runs as root, or null. */
function rootWarning({ user }: AppConfig, owner: User, folderOwner: User): string | null {
  if (owner.uid !== 0) return null
  if (folderOwner.uid !== 0)
    return `the app runs as root, and its folder belongs to ${folderOwner.name}, who thereby is as good as root: set another "user"`
  return user === null ? `the app runs as root: set "user", or give its folder to a user of its own` : null
}
