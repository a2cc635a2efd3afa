/**
 * The JSON documents of the contract: what `--json` prints, what the daemon's API answers, what the store keeps.
 * Times of day are ISO 8601 in UTC; durations say their unit in their name.
 */
import type { AppName, Pid, ReleaseNumber, ReleaseState, Strategy } from './words.ts'

export const schema = 1

/** Who asked for something: recorded in `history`. */
export interface Actor {
  readonly uid: number
  /** The name of the uid, or what SUDO_USER or `--by` said. */
  readonly name: string
  /** SSH_CONNECTION of the client, or null. */
  readonly from: string | null
}

export type StepName = 'copy' | 'build' | 'release' | 'start' | 'healthy' | 'warmup' | 'cutover' | 'stop'

/** What is said while a deploy, rollback, start or stop runs: one JSON document a line. */
export type Progress =
  /** The first line: which release this is about. */
  | { readonly type: 'release'; readonly app: AppName; readonly release: ReleaseNumber; readonly label: string | null }
  | { readonly type: 'begin'; readonly step: StepName; readonly text: string }
  /** A line that `build` or `release` wrote. */
  | { readonly type: 'output'; readonly step: StepName; readonly line: string }
  | {
      readonly type: 'end'
      readonly step: StepName
      readonly ok: boolean
      readonly text: string
      readonly ms: number
      readonly us: number | null
    }
  | { readonly type: 'warning'; readonly text: string }
  /** The last line if it worked. */
  | { readonly type: 'receipt'; readonly receipt: Receipt }
  /** The last line if it did not: the message for people, its details (log lines), the exit code of the contract. */
  | {
      readonly type: 'error'
      readonly message: string
      readonly details: readonly string[]
      readonly exitCode: number
      readonly receipt: Receipt | null
    }

export type OperationKind = 'deploy' | 'rollback' | 'restart' | 'stop' | 'start' | 'remove'

/** What the kernel dropped at listeners of the app while the operation ran (SK_MEMINFO_DROPS of sock_diag(7)). */
export interface Lost {
  readonly listen_drops: number
  /** Connections that a retired release still had when `drain_timeout` was over. Known only later; then history has it. */
  readonly cut: number
}

/** What each deploy and rollback ends with; `history` keeps it. */
export interface Receipt {
  readonly schema: typeof schema
  readonly app: AppName
  readonly kind: OperationKind
  readonly release: ReleaseNumber
  readonly previous: ReleaseNumber | null
  readonly strategy: Strategy
  readonly state: ReleaseState
  readonly label: string | null
  readonly ports: readonly number[]
  readonly cutover: {
    readonly switch_us: number
    readonly ready_ms: number
    readonly total_ms: number
    /** How long nobody served, since the former release was ended before; null where it was not. */
    readonly off_ms: number | null
  } | null
  readonly steps: readonly { readonly step: StepName; readonly ms: number; readonly text: string }[]
  /** Connections accepted since its start, by release: "v4": 1204; null where nobody counts them, as under `share`. */
  readonly accepted: Readonly<Record<string, number | null>>
  /** Connections that are still with the release that was left. */
  readonly remaining: number
  readonly lost: Lost
  readonly warnings: readonly string[]
  readonly started: string
  readonly by: Actor
}

export interface HistoryEntry {
  readonly id: number
  readonly app: AppName
  readonly kind: OperationKind | 'retire' | 'worker' | 'recovery'
  readonly release: ReleaseNumber | null
  readonly at: string
  readonly by: Actor
  readonly outcome: 'running' | 'done' | 'failed' | 'aborted'
  /** One sentence for people. */
  readonly text: string
  readonly receipt: Receipt | null
}

export interface ReleaseStatus {
  readonly release: ReleaseNumber
  readonly state: ReleaseState
  readonly label: string | null
  readonly pids: readonly Pid[]
  readonly connections: { readonly open: number; readonly accepted: number | null }
  /** Connections accepted per second since the last look; null where nobody counts them. */
  readonly rate: number | null
  readonly memory_mb: number
  readonly since: string
  /** How often workers of it were started again since it became active. */
  readonly restarts: number
  /** Why it failed, or what is wrong with it now; null if nothing is. */
  readonly note: string | null
}

export interface AppStatus {
  readonly app: AppName
  /** `stopped`: asked for by `stop`; the ports are reserved and clients refused. */
  readonly stopped: boolean
  readonly ports: readonly {
    readonly port: number
    readonly protocol: 'tcp'
    readonly declared: boolean
    /** Where it is reached: as the active release's config says, else where releases listen. */
    readonly addresses: readonly string[]
  }[]
  readonly strategy: Strategy
  readonly active: ReleaseNumber | null
  readonly standby: readonly ReleaseNumber[]
  readonly releases: readonly ReleaseStatus[]
  /** What is under way: "deploy of v6 by root since 10 s". */
  readonly busy: string | null
  /** What the daemon found half done, or not running, when it started, and what it made of it; null once somebody did something with the app. */
  readonly found: string | null
}

export interface Status {
  readonly schema: typeof schema
  readonly daemon: { readonly pid: Pid; readonly version: string; readonly since: string }
  readonly apps: readonly AppStatus[]
}

/** One line of `events`. */
export interface EventDocument {
  readonly schema: typeof schema
  readonly id: number
  readonly at: string
  readonly app: AppName | null
  readonly release: ReleaseNumber | null
  readonly event: string
  readonly text: string
}

export interface DoctorCheck {
  readonly check: string
  readonly ok: boolean
  /** What was tried and seen; if not ok, what is missing and what to do. */
  readonly text: string
}

export interface DoctorReport {
  readonly schema: typeof schema
  /** null: no strategy works here. */
  readonly strategy: Strategy | null
  readonly checks: readonly DoctorCheck[]
}
