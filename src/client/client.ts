/** The typed client of the daemon's API: what commands, tests and whatever else may come talk to a daemon with. */
import type { DoctorReport, EventDocument, HistoryEntry, Status } from '../core/documents.ts'
import type { AppName, ReleaseNumber } from '../core/words.ts'
import { actorHeaders } from '../daemon/headers.ts'
import type { Place } from '../daemon/place.ts'
import type { LogLine } from '../engine/engine.ts'
import { ownVersion } from '../program.ts'
import { answered, streamed } from './answer.ts'
import { callsThrough } from './call.ts'
import { type Operate, operateThrough } from './operate.ts'
import { NoDaemon, reach } from './reach.ts'

export interface ClientOptions {
  readonly place: Place
  /** Starts a daemon where none answers; null: then the request fails. */
  readonly start: ((place: Place) => Promise<void>) | null
  /** What history shall say who it was; null: SUDO_USER or the name of the uid. */
  readonly by?: string | null
  /** Told once if the daemon that answers is of another version than this. */
  readonly onOtherVersion?: (daemon: string) => void
}

export interface LogsRequest {
  readonly app: AppName
  readonly release?: ReleaseNumber
  readonly lines: number
  readonly since?: Date
  readonly follow: boolean
}

/** Every method throws CutoverError: `unreachable` where there is no daemon or no permission, `unknown` where it ended in the middle. */
export interface Client {
  /** The daemon that answers, or null if none does. Never starts one. */
  daemon(): Promise<Status['daemon'] | null>
  status(app?: AppName): Promise<Status>
  history(app?: AppName): Promise<readonly HistoryEntry[]>
  doctor(): Promise<DoctorReport>
  /** The app that somebody in that folder means without naming one. */
  appMeant(directory: string): Promise<AppName>
  /** Events after that one, or from now on, without end. */
  events(after: number | null): AsyncGenerator<EventDocument>
  logs(request: LogsRequest): AsyncGenerator<LogLine>
  /** Deploy, rollback, restart, stop, start, remove. */
  readonly operate: Operate
  /**
   * Ends the daemon; `all`: and every app; `whenQuiet`: after the operations that run, instead of interrupting them. Resolves with its pid when
   * it has let go of everything but its process.
   */
  stopDaemon(all: boolean, whenQuiet?: boolean): Promise<{ readonly pid: number }>
}

export function createClient({ place, start, by = null, onOtherVersion = () => {} }: ClientOptions): Client {
  const headers = actorOf(by)
  let compared = false
  const onVersion = (daemon: string) => {
    if (!compared && daemon !== ownVersion()) onOtherVersion(daemon)
    compared = true
  }
  const through = (starting: ClientOptions['start']) =>
    callsThrough(observed(reach(place, starting), onVersion), headers)
  const api = through(start)

  return {
    async daemon() {
      try {
        return await answered(through(null).get('/daemon', {}))
      } catch (error) {
        if (error instanceof NoDaemon) return null
        throw error
      }
    },
    status: (app) => answered(api.get('/status', { query: given({ app }) })),
    history: async (app) => (await answered(api.get('/history', { query: given({ app }) }))).entries,
    doctor: () => answered(api.get('/doctor', {})),
    appMeant: async (directory) => (await answered(api.get('/app', { query: { directory } }))).app,
    events: (after) => streamed(api.get('/events', { query: given({ after: after?.toString() }) })),
    logs: ({ app, release, lines, since, follow }) => {
      const query = { app, lines: String(lines), follow: String(follow) }
      const optional = given({ release: release?.toString(), since: since?.toISOString() })
      return streamed(api.get('/logs', { query: { ...query, ...optional } }))
    },
    operate: operateThrough(api, through(null)),
    stopDaemon: (all, whenQuiet = false) =>
      answered(api.post('/daemon/stop', { json: { all, when_quiet: whenQuiet } })),
  }
}

type Ask = ReturnType<typeof reach>

/** Tells the version of the daemon that answered. */
const observed =
  (ask: Ask, onVersion: (daemon: string) => void): Ask =>
  async (request) => {
    const answer = await ask(request)
    if (answer.version !== null) onVersion(answer.version)
    return answer
  }

function actorOf(by: string | null): Record<string, string> {
  const { SUDO_USER, SSH_CONNECTION } = process.env
  return {
    ...(by && { [actorHeaders.by]: encodeURIComponent(by) }),
    ...(SUDO_USER && { [actorHeaders.sudoUser]: encodeURIComponent(SUDO_USER) }),
    ...(SSH_CONNECTION && { [actorHeaders.from]: encodeURIComponent(SSH_CONNECTION) }),
  }
}

/** Only what is given: a query has no word for undefined. */
const given = <Key extends string>(values: Readonly<Record<Key, string | undefined>>) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in Key]?: string }
