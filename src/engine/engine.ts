/**
 * What the daemon can do, as its API sees it: every operation of a node. All that is said while one runs goes through `report`;
 * what is thrown for people is a CutoverError.
 */
import type { Actor, DoctorReport, EventDocument, HistoryEntry, Progress, Receipt, Status } from '../core/documents.ts'
import type { AppName, ReleaseNumber } from '../core/words.ts'

export interface DeployRequest {
  /** The app's own folder, absolute. */
  readonly directory: string
  readonly label?: string
  /** The caller's PATH, with which programs are found. */
  readonly path: string
}

export interface RollbackRequest {
  readonly app: AppName
  readonly to?: ReleaseNumber
  /** Act only if this release is active. */
  readonly from?: ReleaseNumber
}

/** Told each step as it happens. The receipt and the error are not among them: those are the operation's result. */
export type Report = (progress: Progress) => void

/** A line that the app wrote, and the release that wrote it. */
export interface LogLine {
  readonly release: ReleaseNumber
  readonly line: string
}

export interface LogOptions {
  /** undefined: the active release, or the latest one if none is active. */
  readonly release?: ReleaseNumber
  /** How many of the last lines come first. */
  readonly lines: number
  readonly since?: Date
  /** Go on with each new line until the signal says otherwise. */
  readonly follow: boolean
  readonly signal: AbortSignal
}

export interface Engine {
  /** The signal aborts it cleanly before the cutover; after it nothing is undone. */
  deploy(request: DeployRequest, by: Actor, report: Report, signal: AbortSignal): Promise<Receipt>
  /** The signal aborts it cleanly before the cutover; after it nothing is undone. */
  rollback(request: RollbackRequest, by: Actor, report: Report, signal: AbortSignal): Promise<Receipt>
  /** The signal aborts it cleanly before the cutover; after it nothing is undone. */
  restart(app: AppName, by: Actor, report: Report, signal: AbortSignal): Promise<Receipt>
  stop(app: AppName, by: Actor, report: Report): Promise<Receipt>
  start(app: AppName, by: Actor, report: Report): Promise<Receipt>
  remove(app: AppName, by: Actor, report: Report): Promise<Receipt>
  /** @throws CutoverError `refused` if the named app is unknown. */
  status(app?: AppName): Status['apps']
  /** Oldest first. @throws CutoverError `refused` if the named app is unknown. */
  history(app?: AppName): readonly HistoryEntry[]
  /** The events whose id is greater than `after`, oldest first. */
  events(after: number): readonly EventDocument[]
  /** Calls the listener for each new event, until the returned function is called. */
  onEvent(listener: (event: EventDocument) => void): () => void
  /** @throws CutoverError `refused` if the app, or the named release, is unknown. */
  logs(app: AppName, options: LogOptions): AsyncIterable<LogLine>
  doctor(): Promise<DoctorReport>
  /** The app that was deployed from that folder, or null. */
  appIn(directory: string): AppName | null
  /** The daemon leaves; apps and traffic go on. */
  close(): void
  /** Ends every app and leaves no process, pin or mount. */
  shutdown(by: Actor): Promise<void>
}

/** The daemon's own log: JSON lines for machines. pino's loggers are such logs. */
export interface Log {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}
