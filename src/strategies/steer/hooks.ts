/** The five hooks on a release's cgroup: loaded for this release, attached, pinned. */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createLink, openTarget, pin } from '../../linux/bpf.ts'
import { loadPrograms } from '../../linux/bpf-object.ts'
import { cgroupId } from '../../linux/cgroup.ts'
import { netnsCookie, tcpSocket } from '../../linux/sockets.ts'
import type { Kernel } from './kernel.ts'
import { type ReleaseRef, releaseKey, u32, u64 } from './layout.ts'

/** The last one to be pinned: where it is, all are. */
const complete = 'complete'

/** A name in a bpffs must not contain a dot. */
const nameOf = ({ app, release }: ReleaseRef): string => `${app}_v${release}`

/** Attaches the hooks to the cgroup. Every socket that is made in it from now on is the release's. */
export function attachHooks({ maps, hooks, releases }: Kernel, ref: ReleaseRef, cgroup: string): void {
  const folder = join(releases, nameOf(ref))
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  using owned = new DisposableStack()
  const target = owned.use(openTarget(cgroup))
  using any = tcpSocket('ipv4')
  const self = Buffer.concat([u32(releaseKey(ref), ref.app), u64(netnsCookie(any), cgroupId(cgroup))])
  for (const [name, { kind, program }] of Object.entries(loadPrograms(hooks, maps, self))) {
    owned.use(program)
    pin(owned.use(createLink(program, kind, target.fd)), join(folder, name))
  }
  mkdirSync(join(folder, complete))
}

/** Takes the hooks away. Sockets that were made under them stay as they are. */
export const detachHooks = ({ releases }: Kernel, ref: ReleaseRef): void =>
  rmSync(join(releases, nameOf(ref)), { recursive: true, force: true })

/** The releases whose hooks are attached, all of them. */
export function hookedReleases({ releases }: Kernel): ReleaseRef[] {
  return readdirSync(releases).flatMap((name) => {
    const [, app, release] = /^(\d+)_v(\d+)$/.exec(name) ?? []
    return existsSync(join(releases, name, complete)) ? [{ app: Number(app), release: Number(release) }] : []
  })
}
