/**
 * Puts programs that were loaded into their places, the first ones as well as those that take over from a daemon of another version: each
 * replaces the one that is there in one step of the kernel, so that every packet meets the former or the new one. A daemon may be killed
 * between any two steps: programs of one layout work side by side, and the next daemon begins anew with its own.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { CutoverError } from '../../core/errors.ts'
import { createLink, getPinned, type KernelObject, openTarget, pin, updateLink } from '../../linux/bpf.ts'
import type { Listener } from '../steering.ts'
import { pinnedReleases, replaceHooks } from './hooks.ts'
import { type Kernel, ownNamespace, type Pins } from './kernel.ts'
import { u32 } from './layout.ts'
import { type Park, unheld } from './park.ts'
import { ownersOf } from './ports.ts'
import { expectProbes } from './probe.ts'

/** Does nothing if the programs run already. Yields the name of each step when it is done. */
export function* install(kernel: Kernel, park: Park): Generator<string> {
  const { maps, pins, former, group, hooks, loaded } = kernel
  if (loaded === null) return
  // From here on and until the end no set of programs is known to run everywhere, of no layout.
  for (const { programs } of former === null ? [pins] : [pins, former.pins])
    for (const name of readdirSync(programs)) rmSync(join(programs, name), { recursive: true })
  // Hooks that are still to be replaced may not count what calls itself.
  expectProbes(maps, 1)
  yield 'begin'
  for (const [slot, program] of loaded.nobody.entries()) {
    maps.next.set(u32(slot), u32(program.fd))
    yield `nobody ${slot}`
  }
  attachLookup(pins, loaded.lookup)
  yield 'lookup'
  for (const app of ownersOf(maps)) {
    for (const socket of park.of(app)) {
      park.regroup(socket)
      yield `group of ${socket.address} port ${socket.port}`
    }
    for (const listener of unheld(maps, park, app)) {
      joined(park, listener)
      yield `group of ${listener.address} port ${listener.port}`
    }
  }
  for (const ref of pinnedReleases(kernel)) {
    for (const hook of replaceHooks(kernel, ref)) yield `${hook} of release ${ref.release} of app ${ref.app}`
  }
  const partial = join(pins.programs, 'partial')
  mkdirSync(partial, { mode: 0o700 })
  pin(group, join(partial, 'group'))
  for (const [name, { program }] of Object.entries(hooks)) pin(program, join(partial, name))
  yield 'pins'
  renameSync(partial, pins.ownPrograms)
  yield 'end'
}

function attachLookup(pins: Pins, program: KernelObject): void {
  if (existsSync(pins.lookup)) {
    using link = getPinned(pins.lookup)
    updateLink(link, program)
    return
  }
  using namespace = openTarget(ownNamespace)
  using link = createLink(program, 'sk_lookup', namespace.fd)
  pin(link, pins.lookup)
}

/** A group that cannot be entered (it is another user's meanwhile) keeps the former program: it does as well with these maps. */
function joined(park: Park, listener: Listener): void {
  try {
    park.join(listener)
  } catch (error) {
    if (!(error instanceof CutoverError)) throw error
  }
}
