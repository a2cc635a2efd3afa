/** Puts the engine of one node together: the composition root of everything below the daemon. */
import { refusal } from '../core/errors.ts'
import { openHome } from '../store/home.ts'
import { deploy } from './deploy.ts'
import { doctor } from './doctor/doctor.ts'
import type { Engine, Log } from './engine.ts'
import { logLines } from './logs.ts'
import { createNode } from './node.ts'
import { type Parts, parts } from './parts.ts'
import { recover } from './recover.ts'
import { restart } from './restart.ts'
import { rollback } from './rollback.ts'
import { start } from './start.ts'
import { createStatus } from './status.ts'
import { remove, shutdown, stop } from './stop.ts'
import { watchParked } from './waiting.ts'

export interface EngineOptions {
  /** `$CUTOVER_HOME` */
  readonly home: string
  readonly log: Log
}

/**
 * Opens the state, finds what runs, and goes on from there.
 * @param made what it is made of
 * @throws CutoverError if the state cannot be read
 */
export async function openEngine({ home: path, log }: EngineOptions, made: Parts = parts): Promise<Engine> {
  const home = openHome(path)
  const store = made.openStore(home.database, (err) =>
    log.error({ err }, 'a note of what happened could not be written'),
  )
  const closing = new AbortController()
  const node = createNode({ home, store, log, closing: closing.signal, parts: made })
  const close = () => {
    closing.abort(new Error('the daemon leaves'))
    parked[Symbol.dispose]()
    for (const { instance } of node.running.values()) instance.abandon()
    node.unwatchLogs()
    node.closeSteering()
    store.close()
  }
  const parked = watchParked(node)
  try {
    await recover(node)
  } catch (error) {
    close()
    throw error
  }
  const status = createStatus(node)

  return {
    deploy: (request, by, report, signal) => deploy(node, request, by, report, signal),
    rollback: (request, by, report, signal) => rollback(node, request, by, report, signal),
    restart: (app, by, report, signal) => restart(node, app, by, report, signal),
    stop: (app, by, report) => stop(node, app, by, report),
    start: (app, by, report) => start(node, app, by, report),
    remove: (app, by, report) => remove(node, app, by, report),
    status,
    history: (app) => {
      if (app !== undefined && !store.operations.knows(app))
        throw refusal(`There never was an app ${app} on this node.`)
      return store.operations.history(app)
    },
    events: store.events.after,
    onEvent: store.events.listen,
    logs: (app, options) => logLines(node, app, options),
    doctor: () => doctor(node),
    appIn: (directory) => store.apps.list().find((app) => app.directory === directory)?.name ?? null,
    close,
    shutdown: (by) => shutdown(node, by),
  }
}
