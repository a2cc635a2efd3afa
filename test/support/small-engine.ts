/**
 * An engine in memory, for tests of what lies above it: the HTTP layer, the client, the commands. Nothing of it runs anything. What an
 * app does is said by its name: `deploys`, `fails`, `waits` (until it is interrupted), `chatters` (many lines of build output), `talks` (about a step, at
 * length).
 */
import { basename } from 'node:path'
import { setImmediate as soon } from 'node:timers/promises'
import type { Actor, EventDocument, HistoryEntry, Progress, Receipt, Status } from '../../src/core/documents.ts'
import { failure, refusal } from '../../src/core/errors.ts'
import type { Engine, LogLine } from '../../src/engine/engine.ts'

export interface SmallEngine extends Engine {
  /** What was done to it, as `deploy shop by root`. */
  readonly deeds: readonly string[]
  /** How many lines of its endless log were asked for. */
  readonly linesRead: () => number
  emit(text: string): void
}

export function createSmallEngine(): SmallEngine {
  const deeds: string[] = []
  const events: EventDocument[] = []
  const listeners = new Set<(event: EventDocument) => void>()
  let apps: Status['apps'] = []
  let linesRead = 0

  const done = async (
    kind: Receipt['kind'],
    app: string,
    by: Actor,
    report: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<Receipt> => {
    deeds.push(`${kind} ${app} by ${by.name}`)
    report({ type: 'release', app, release: 5, label: 'a1b2c3d' })
    report({ type: 'begin', step: 'copy', text: '' })
    report({ type: 'end', step: 'copy', ok: true, text: '412 files, 18 MB', ms: 104, us: null })
    if (app === 'chatters') await chatterOf(report)
    if (app === 'talks') {
      const text = 'pid 4711 listens on 0.0.0.0:8080, with-a-name-that-is-long-indeed'
      report({ type: 'begin', step: 'start', text })
      report({ type: 'end', step: 'start', ok: true, text, ms: 612, us: null })
    }
    if (app === 'waits') await interrupted(app, report, signal)
    if (app === 'fails') {
      report({ type: 'end', step: 'healthy', ok: false, text: 'GET / answered 500, 31 times', ms: 30_012, us: null })
      const details = ['Error: \u001b[31mconnect\u001b[0m \u001b]0;title\u0007ECONNREFUSED']
      throw failure(`${app} v5 never went live. Traffic is on v4, as before.`, { details })
    }
    report({ type: 'end', step: 'cutover', ok: true, text: 'v4 → v5', ms: 0.005, us: 5 })
    deeds.push(`done ${app}`)
    apps = [...apps.filter((other) => other.app !== app), statusOf(app)]
    return receiptOf(kind, app, by)
  }

  const interrupted = async (app: string, report: (progress: Progress) => void, signal?: AbortSignal) => {
    report({ type: 'begin', step: 'start', text: 'node server.js' })
    report({ type: 'warning', text: 'waiting' })
    await new Promise((resolve) => signal?.addEventListener('abort', resolve))
    deeds.push(`interrupted ${app}`)
    throw failure(`${app} v5 was interrupted and never went live. Traffic is on v4, as before.`)
  }

  return {
    deeds,
    linesRead: () => linesRead,
    emit(text) {
      const id = events.length + 1
      const at = '2026-03-01T12:00:00.000Z'
      const event: EventDocument = { schema: 1, id, at, app: 'shop', release: 5, event: 'test', text }
      events.push(event)
      for (const listener of listeners) listener(event)
    },
    deploy: ({ directory }, by, report, signal) => done('deploy', basename(directory), by, report, signal),
    rollback: ({ app }, by, report, signal) => {
      if (app === 'busy') throw refusal('v5 of busy is being deployed by alice since 10 s.')
      return done('rollback', app, by, report, signal)
    },
    restart: (app, by, report, signal) => done('restart', app, by, report, signal),
    stop: (app, by, report) => done('stop', app, by, report),
    start: (app, by, report) => done('start', app, by, report),
    remove: (app, by, report) => done('remove', app, by, report),
    status(app) {
      if (app === undefined) return apps
      const named = apps.filter((other) => other.app === app)
      if (named.length === 0) throw refusal(`There is no app ${app} here.`)
      return named
    },
    history: () => [entry],
    events: (after) => events.slice(after),
    onEvent(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async *logs(app, { lines, follow, signal }): AsyncGenerator<LogLine> {
      if (app === 'unknown') throw refusal('There is no app unknown here.')
      for (let line = 1; follow || line <= lines; line++) {
        linesRead = line
        signal.throwIfAborted()
        yield { release: 5, line: `line ${line} \u001b[2J` }
        await soon()
      }
    },
    doctor: async () => ({ schema: 1, strategy: 'steer', checks: [{ check: 'bpf', ok: true, text: 'loads' }] }),
    appIn: (directory) => (basename(directory) === 'shop' ? 'shop' : null),
    close: () => void deeds.push('close'),
    shutdown: async (by) => void deeds.push(`shutdown by ${by.name}`),
  }
}

/** How many lines `chatters` has to say. */
export const chatter = 100_000

async function chatterOf(report: (progress: Progress) => void): Promise<void> {
  for (let line = 1; line <= chatter; line++) {
    report({ type: 'output', step: 'build', line: `line ${line} of a very long build` })
    if (line % 1000 === 0) await soon()
  }
}

const nobody: Actor = { uid: 0, name: 'root', from: null }

const receiptOf = (kind: Receipt['kind'], app: string, by: Actor): Receipt => ({
  schema: 1,
  app,
  kind,
  release: 5,
  previous: 4,
  strategy: 'steer',
  state: 'active',
  label: 'a1b2c3d',
  ports: [8080],
  cutover: { switch_us: 5, ready_ms: 900, total_ms: 5210, off_ms: null },
  steps: [{ step: 'copy', ms: 104, text: '412 files, 18 MB' }],
  accepted: { v4: 1204 },
  remaining: 14,
  lost: { listen_drops: 0, cut: 0 },
  warnings: [],
  started: '2026-03-01T12:00:00.000Z',
  by,
})

const entry: HistoryEntry = {
  id: 1,
  app: 'shop',
  kind: 'deploy',
  release: 5,
  at: '2026-03-01T12:00:00.000Z',
  by: nobody,
  outcome: 'done',
  text: 'v4 → v5',
  receipt: receiptOf('deploy', 'shop', nobody),
}

function statusOf(app: string): Status['apps'][number] {
  const since = new Date(Date.now() - 3 * 60_000 - 5000).toISOString()
  const common = { since, restarts: 0, note: null }
  return {
    app,
    stopped: false,
    ports: [
      { port: 8080, protocol: 'tcp', declared: true, addresses: ['0.0.0.0'] },
      { port: 9090, protocol: 'tcp', declared: false, addresses: ['127.0.0.1'] },
    ],
    strategy: 'steer',
    active: 5,
    standby: [4],
    releases: [
      {
        ...common,
        release: 5,
        state: 'active',
        label: 'a1b2c3d',
        pids: [4711],
        connections: { open: 1204, accepted: 5000 },
        rate: 214,
        memory_mb: 61,
      },
      {
        ...common,
        release: 4,
        state: 'standby',
        label: '77aa01c',
        pids: [4242],
        connections: { open: 12, accepted: 9000 },
        rate: 0,
        memory_mb: 58,
      },
    ],
    busy: null,
    found: null,
  }
}
