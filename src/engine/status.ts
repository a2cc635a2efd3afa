/** What is true now, for `status`. */
import { type AppState, activeOf, type ReleaseRecord } from '../core/app.ts'
import type { AppStatus, ReleaseStatus } from '../core/documents.ts'
import { isAtRest, isStandingBy } from '../core/states.ts'
import { strategyOf } from '../core/strategy.ts'
import type { AppName } from '../core/words.ts'
import type { Worker } from '../instances/instance.ts'
import { processMemory } from '../linux/proc.ts'
import type { TcpSocket } from '../linux/sock-diag.ts'
import type { App } from '../store/apps.ts'
import { allConnections, openConnections } from './connections.ts'
import { allRunning, type Node, type Running, runningOf } from './node.ts'
import { leftOut } from './reach.ts'

/** Reads the state of apps; remembers what it saw, since a rate is the difference between two looks. */
export function createStatus(node: Node): (app?: AppName) => AppStatus[] {
  const rateOf = createRates()

  const releaseStatus = (app: AppName, record: ReleaseRecord, all: readonly TcpSocket[]): ReleaseStatus => {
    const running = runningOf(node, app, record.number)
    const accepted = running === null ? 0 : node.steering().accepted(running.ref)
    const pids = running?.instance.pids() ?? []
    return {
      release: record.number,
      state: record.state,
      label: record.label,
      pids,
      connections: { open: running === null ? 0 : openConnections(node, running, all), accepted },
      rate: running === null ? 0 : accepted === null ? null : rateOf(running, accepted),
      memory_mb: Math.round(pids.reduce((sum, pid) => sum + processMemory(pid), 0) / 1_000_000),
      since: record.since,
      restarts: running?.instance.workers().reduce((sum, { restarts }) => sum + restarts, 0) ?? 0,
      note: noteOf(node, record, running),
    }
  }

  const appStatus = (app: App, all: readonly TcpSocket[]): AppStatus => {
    const state = node.store.apps.state(app.name)
    const active = activeOf(state)
    return {
      app: app.name,
      stopped: state.stopped,
      ports: portsOf(node, app, state),
      strategy: active === null ? 'steer' : strategyOf(node.store.apps.config(app.name, active.number).config),
      active: active?.number ?? null,
      standby: state.releases.filter((release) => isStandingBy(release.state)).map(({ number }) => number),
      releases: state.releases
        .filter((release) => !isAtRest(release.state) || release === state.releases.at(-1))
        .map((record) => releaseStatus(app.name, record, all))
        .reverse(),
      busy: node.locks.holder(app.name),
      found: node.found.get(app.name) ?? null,
    }
  }

  return (name) => {
    const apps = name === undefined ? node.store.apps.list() : [node.store.apps.get(name)]
    const all = node.running.size > 0 ? allConnections() : []
    return apps.map((app) => appStatus(app, all))
  }
}

function portsOf(node: Node, app: App, state: AppState): AppStatus['ports'] {
  const running = allRunning(node, app.name)
  const active = activeOf(state)
  if (running.length === 0) {
    const ports = active === null ? [] : node.store.apps.config(app.name, active.number).config.ports
    return ports.map(({ port }) => ({ port, protocol: 'tcp', declared: true, addresses: [] }))
  }
  const steering = node.steering()
  const listeners = Map.groupBy(
    running.flatMap(({ ref }) => steering.listeners(ref)),
    ({ port }) => port,
  )
  return steering.ports(app.slot).map(({ port, declared }) => {
    const wished = running.find(({ release }) => release === active?.number)?.config.ports
    const address = wished?.find((one) => one.port === port)?.address ?? null
    const listened = (listeners.get(port) ?? []).map(({ address }) => address)
    const addresses = address === null ? listened : [address]
    return { port, protocol: 'tcp', declared, addresses: [...new Set(addresses)] }
  })
}

function noteOf(node: Node, { reason, state }: ReleaseRecord, running: Running | null): string | null {
  if (running === null) return reason
  const crashes = crashesOf(running.instance.workers())
  if (crashes !== null) return crashes
  const [out] = leftOut(node, running)
  if (out !== undefined) return out
  return state === 'failed' ? reason : null
}

/** Who is down and until when, or who does not stay up; null if all of them do. */
function crashesOf(workers: readonly Worker[]): string | null {
  const down = workers.filter(({ identity }) => identity === null)
  const inLoop = workers.filter(({ exits }) => exits > 1)
  const often = inLoop.map(({ worker, exits }) => `worker ${worker} has failed ${exits} times in a row`)
  const waits = down.flatMap(({ triedAgainInMs }) => triedAgainInMs ?? [])
  const next = waits.length === 0 ? [] : [`the next try is in ${Math.ceil(Math.min(...waits) / 1000)} s`]
  const many = down.length === 0 ? [] : [`${down.length} of ${workers.length} workers are down`]
  const all = [...many, ...often, ...next]
  return all.length === 0 ? null : all.join('; ')
}

/** Connections accepted per second since the last look that is at least a second old; from the start of looking, 0. */
function createRates(): (running: Running, accepted: number) => number {
  const seen = new WeakMap<Running, { readonly at: number; readonly accepted: number; readonly rate: number }>()
  return (running, accepted) => {
    const at = performance.now()
    const last = seen.get(running)
    if (last !== undefined && at - last.at < 1000) return last.rate
    const rate = last === undefined ? 0 : Math.round((accepted - last.accepted) / ((at - last.at) / 1000))
    seen.set(running, { at, accepted, rate })
    return rate
  }
}
