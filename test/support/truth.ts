/** What is true of a node, from three sides: what its daemon says, what its database holds, and what the kernel and the disk have. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Status } from '../../src/core/documents.ts'
import { isAtRest, isCandidate } from '../../src/core/states.ts'
import type { ReleaseState } from '../../src/core/words.ts'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { openHome } from '../../src/store/home.ts'
import { openKernel } from '../../src/strategies/steer/kernel.ts'
import { u32 } from '../../src/strategies/steer/layout.ts'
import { pinsOf } from './kernel-part.ts'
import type { TestNode } from './node.ts'

/** What no state of an app may be like, whatever is under way, in words. */
export function contradictionsIn({ apps }: Status): string[] {
  return apps.flatMap(({ app, active, stopped, releases }) => {
    const having = (wanted: (state: ReleaseState) => boolean) => releases.filter(({ state }) => wanted(state))
    const actives = having((state) => state === 'active').map(({ release }) => release)
    const wrong: string[] = []
    if (actives.length > 1) wrong.push(`${actives.join(' and ')} are active`)
    if (active !== (actives[0] ?? null)) wrong.push(`${active} is called active, and ${actives[0]} is`)
    if (having(isCandidate).length > 1) wrong.push('two candidates')
    if (stopped && active === null) wrong.push('stopped without ever having been live')
    for (const { release, state, pids } of having(isAtRest))
      if (pids.length > 0) wrong.push(`v${release} is ${state} and has processes`)
    return wrong.map((text) => `${app}: ${text}`)
  })
}

/** Where daemon, database, kernel and disk of a node at rest do not agree, in words. */
export function disagreements(node: TestNode, { apps }: Status): string[] {
  const home = openHome(node.place.home)
  using database = opened(home.database)
  const rows = database.prepare('SELECT id, name, slot, stopped FROM apps').all()
  const wrong: string[] = []
  const unended = database.prepare("SELECT count(*) AS n FROM operations WHERE outcome = 'running'").get()?.n
  if (unended !== 0) wrong.push(`${unended} operations have no end`)

  const pins = pinsOf(node)
  using kernel = pins === null ? null : openKernel(pins)
  for (const { id, name, slot, stopped } of rows) {
    const status = apps.find(({ app }) => app === name)
    if ((slot === null) !== (status === undefined)) wrong.push(`${name} has the slot ${slot}`)
    const releases = database.prepare('SELECT number, state, on_disk FROM releases WHERE app = ?').all(Number(id))
    const active = releases.find(({ state }) => state === 'active')?.number ?? 0
    const steered = slot === null || !kernel ? 0 : (kernel.maps.apps.get(u32(Number(slot)))?.readUInt16LE(0) ?? 0)
    const expected = stopped ? 0 : active
    if (steered !== expected) wrong.push(`${name}: the kernel steers to ${steered}, and ${expected} is to be served`)

    const kept = releases.filter((one) => one.on_disk === 1).map(({ number }) => `v${number}`)
    const folder = home.releases(String(name))
    const there = existsSync(folder) ? readdirSync(folder).filter((entry) => !entry.endsWith('.env.json')) : []
    if (there.toSorted().join() !== kept.toSorted().join()) wrong.push(`${name}: ${there} on disk, ${kept} known`)

    for (const { number, state } of releases) {
      const runs = cgroupPids(join(node.cgroup, `${name}.v${number}`)).length > 0
      const shall = !isAtRest(state as ReleaseState) && !(stopped && state === 'active')
      if (runs !== shall) wrong.push(`${name} v${number} is ${state} and ${runs ? 'runs' : 'does not run'}`)
      if (!runs && existsSync(join(node.cgroup, `${name}.v${number}`))) wrong.push(`${name} v${number} left its cgroup`)
    }
  }
  return wrong
}

function opened(file: string): DatabaseSync & Disposable {
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5000 })
  return Object.assign(database, { [Symbol.dispose]: () => database.close() })
}
