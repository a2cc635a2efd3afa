/** What a deploy and a restart have in common: a new release is written down, made, proven ready, and goes live. */
import type { AppConfig } from '../core/app-config.ts'
import type { Receipt } from '../core/documents.ts'
import type { ReleaseNumber } from '../core/words.ts'
import type { User } from '../linux/users.ts'
import type { LeftOut } from '../store/files/survey.ts'
import { bringUp, type Proven } from './bring-up.ts'
import { cutOverStep, endOperation, type Operation } from './cutover.ts'
import { giveUp } from './give-up.ts'
import { type Node, now } from './node.ts'
import { type Former, offOf, stopFormer } from './stop-former.ts'

export interface NewRelease {
  readonly config: AppConfig
  readonly release: ReleaseNumber
  readonly operation: Operation
  readonly signal: AbortSignal
}

/** The release is written down before anything of it exists. */
export function stage(
  node: Node,
  config: AppConfig,
  release: ReleaseNumber,
  around: { readonly owner: User; readonly path: string },
  label: string | null,
): void {
  node.store.apps.change(config.app, { type: 'stage', release, label, at: now() }, { config, ...around })
}

/**
 * Takes the release live that `make` stages and puts in its place; what it leaves out of the app's folder it tells. Until the cutover all of it
 * is undone if anything fails.
 * @throws CutoverError `failed` if it never went live, with nothing of it left behind
 */
export async function goLive(
  node: Node,
  { config, release, operation, signal }: NewRelease,
  make: (leftOut: LeftOut[]) => Promise<void>,
): Promise<Receipt> {
  const { app, deployTimeoutMs } = config
  const leftOut: LeftOut[] = []
  let former: Former | null = null
  let live: { readonly proven: Proven; readonly us: number }
  try {
    await make(leftOut)
    // A power cut must not leave half of what is written down as live.
    const onDisk = node.files.toDisk(node.home.release(app, release))
    onDisk.catch(() => {})
    former = await stopFormer(node, app, release, operation, signal)
    const proven = await bringUp(node, { app, release, steps: operation.steps, signal })
    await onDisk
    const event = { type: 'cutover', kind: 'deploy', release, formerEnded: former !== null, at: now() } as const
    live = { proven, us: (await cutOverStep(node, operation, proven, event, signal)).us }
  } catch (error) {
    throw await giveUp(node, { app, release, operation, error, deployTimeoutMs, signal, leftOut, files: true, former })
  }
  const off = offOf(former)
  if (live.proven.http === true) node.store.apps.speaksHttp(app)
  return endOperation(node, operation, live.proven.running, { us: live.us, readyMs: live.proven.readyMs, off })
}

/** `412 files, 18 MB` */
export const copiedText = ({ files, bytes }: { readonly files: number; readonly bytes: number }): string =>
  `${files} files, ${sizeOf(bytes)}`

/** `18 MB`, `1.2 MB`, `3 KB` */
function sizeOf(bytes: number): string {
  if (bytes < 1_000_000) return `${Math.ceil(bytes / 1000)} KB`
  const megabytes = bytes / 1_000_000
  return megabytes >= 10 ? `${megabytes.toFixed(0)} MB` : `${megabytes.toFixed(1)} MB`
}
