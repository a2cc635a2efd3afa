import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createMap } from '../src/linux/bpf-map.ts'
import { mountBpffs, unmount } from '../src/linux/mounts.ts'
import { openSteering } from '../src/strategies/steer/steering.ts'
import { temporaryCgroup, temporaryDirectory } from '../test/support/workspace.ts'
import { type Figure, figure, type Measurement, type Scope } from './figures.ts'

const app = 1
const blocks = 60
const perBlock = 100
const idleMs = [5, 40]
const idleTries = 150

export const theSwitch: Measurement = {
  name: 'switch',
  title: 'The switch itself',
  how: `The one map update that moves new connections, from the call to its return through the FFI, as each receipt tells it (\`switch_us\`). Beside it the whole of \`Steering.switchTo\`, which afterwards renews the deadline of the app's hold by two more calls, and one update of a map of the same kind by itself, all in turns. "Out of idleness" is the first call after so many milliseconds in which the process slept: its caches are cold, and the processor itself may have slept. In a daemon other work comes first (see the rollback below).`,

  async measure(scope, rounds) {
    const bareUpdate = bareMap(scope)
    const steering = openSteering({ pins: pinsFor(scope), cgroup: temporaryCgroup(scope) })
    scope.after(() => steering.destroy())
    steering.addApp(app, { ports: [8080], holdMs: 5000 })
    let release = 1
    const switches = (): number => {
      release = 3 - release
      return steering.switchTo(app, release, { hold: true })
    }

    const busy = { update: [] as number[], whole: [] as number[], bare: [] as number[] }
    for (let block = 0; block < blocks * rounds; block++) {
      for (let i = 0; i < perBlock; i++) {
        const before = process.hrtime.bigint()
        busy.update.push(switches())
        busy.whole.push(microsecondsSince(before))
      }
      for (let i = 0; i < perBlock; i++) {
        const before = process.hrtime.bigint()
        bareUpdate()
        busy.bare.push(microsecondsSince(before))
      }
      await sleep(5)
    }
    const idle: Figure[] = []
    for (const ms of idleMs) idle.push(...(await outOfIdleness(ms, idleTries * rounds, switches, bareUpdate)))
    return [
      figure('the switch, back to back', 'µs', busy.update, { atMost: 5 }),
      figure('`switchTo` as a whole, back to back', 'µs', busy.whole),
      figure('a bare map update, back to back', 'µs', busy.bare),
      ...idle,
    ]
  },
}

async function outOfIdleness(ms: number, tries: number, switches: () => number, bareUpdate: () => void) {
  const times = { update: [] as number[], whole: [] as number[], bare: [] as number[] }
  for (let i = 0; i < tries; i++) {
    await sleep(ms)
    const began = process.hrtime.bigint()
    times.update.push(switches())
    times.whole.push(microsecondsSince(began))
    await sleep(ms)
    const before = process.hrtime.bigint()
    bareUpdate()
    times.bare.push(microsecondsSince(before))
  }
  return [
    figure(`the switch, after ${ms} ms of idleness`, 'µs', times.update, { atMost: 20 }),
    figure(`\`switchTo\` as a whole, after ${ms} ms`, 'µs', times.whole),
    figure(`a bare map update, after ${ms} ms`, 'µs', times.bare),
  ]
}

function bareMap(scope: Scope): () => void {
  const hash = 1
  const map = createMap({ type: hash, keySize: 4, valueSize: 8, maxEntries: 256, flags: 0 }, 'bare')
  scope.after(() => map[Symbol.dispose]())
  const key = Buffer.from([1, 0, 0, 0])
  const value = Buffer.alloc(8)
  return () => map.set(key, value)
}

/** In a bpffs of our own, which goes with this mount namespace at the latest. */
function pinsFor(scope: Scope): string {
  const directory = temporaryDirectory(scope)
  mountBpffs(directory)
  scope.after(() => unmount(directory))
  return join(directory, 'pins')
}

const microsecondsSince = (before: bigint): number => Number(process.hrtime.bigint() - before) / 1000
