/** The five hooks on a release's cgroup: attached, told which release it is, pinned. */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createLink, getPinned, openTarget, pin, updateLink } from '../../linux/bpf.ts'
import { cgroupId } from '../../linux/cgroup.ts'
import { SystemError } from '../../linux/ffi.ts'
import { netnsCookie, tcpSocket } from '../../linux/sockets.ts'
import type { ReleaseRef } from '../steering.ts'
import type { Kernel, Pins } from './kernel.ts'
import { releaseKey, u32, u64 } from './layout.ts'

/** Made last and removed first: where it is, all hooks are. */
const complete = 'complete'

/** A name in a bpffs must not contain a dot. */
const folderOf = ({ pins }: Kernel, { app, release }: ReleaseRef): string => join(pins.releases, `${app}_v${release}`)

/** Attaches the hooks to the cgroup, all or none. Every socket that is made in it from now on is the release's. */
export function attachHooks(kernel: Kernel, ref: ReleaseRef, cgroup: string): void {
  const folder = folderOf(kernel, ref)
  detachHooks(kernel, ref)
  using owned = new DisposableStack()
  const target = owned.use(openTarget(cgroup))
  const any = owned.use(tcpSocket('ipv4'))
  const id = cgroupId(cgroup)
  const self = Buffer.concat([u32(releaseKey(ref), ref.app), u64(netnsCookie(any), id, 0n)])
  mkdirSync(folder, { mode: 0o700 })
  try {
    for (const [name, { kind, program }] of Object.entries(kernel.hooks))
      pin(owned.use(createLink(program, kind, target.fd)), join(folder, name))
    // The kernel makes the entry when the first hook is attached.
    kernel.maps.selves.set(u64(id), self)
    mkdirSync(join(folder, complete), { mode: 0o700 })
  } catch (error) {
    detachHooks(kernel, ref)
    throw error
  }
}

/** Puts the present programs in the place of those that the release's hooks run; yields the name of each that was replaced. */
export function* replaceHooks(kernel: Kernel, ref: ReleaseRef): Generator<string> {
  for (const [name, { program }] of Object.entries(kernel.hooks)) {
    using link = getPinned(join(folderOf(kernel, ref), name))
    try {
      updateLink(link, program)
    } catch (error) {
      // Its cgroup has gone: there is nothing left that it could be a hook of.
      if (!(error instanceof SystemError && error.code === 'ENOLINK')) throw error
    }
    yield name
  }
}

/** Gives the links of a release a second name beside these pins, where they are all there or not as they are here. */
export function repinHooks(from: Pins, to: Pins, folder: string): void {
  const [own, other] = [join(from.releases, folder), join(to.releases, folder)]
  const names = readdirSync(own)
  rmSync(other, { recursive: true, force: true })
  mkdirSync(other, { mode: 0o700 })
  for (const name of names.filter((name) => name !== complete)) {
    using link = getPinned(join(own, name))
    pin(link, join(other, name))
  }
  if (names.includes(complete)) mkdirSync(join(other, complete), { mode: 0o700 })
}

/** Takes the hooks away, half of them too. Sockets that were made under them stay as they are. */
export function detachHooks(kernel: Kernel, ref: ReleaseRef): void {
  const folder = folderOf(kernel, ref)
  rmSync(join(folder, complete), { recursive: true, force: true })
  rmSync(folder, { recursive: true, force: true })
}

/** The releases whose hooks are attached, all of them. */
export const hookedReleases = (kernel: Kernel): ReleaseRef[] =>
  pinnedReleases(kernel).filter((ref) => existsSync(join(folderOf(kernel, ref), complete)))

/** The releases of which anything is pinned. */
export const pinnedReleases = ({ pins }: Kernel): ReleaseRef[] =>
  readdirSync(pins.releases).flatMap((name) => {
    const [, app, release] = /^(\d+)_v(\d+)$/.exec(name) ?? []
    return app === undefined ? [] : [{ app: Number(app), release: Number(release) }]
  })
