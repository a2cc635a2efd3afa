/** A checked `cutover.yaml`, every default filled in, every duration in milliseconds. */
import type { AppName, PortSpec } from './words.ts'

/** How often to ask, how long to wait for an answer, and how many answers in a row decide. */
export interface Rhythm {
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly healthy: number
  readonly unhealthy: number
}

export type HealthCheck = Rhythm &
  (
    | { readonly kind: 'auto' }
    /** `status` is null when any 2xx or 3xx will do. */
    | { readonly kind: 'http'; readonly path: string; readonly host: string | null; readonly status: number | null }
    | { readonly kind: 'tcp' }
    | { readonly kind: 'command'; readonly command: readonly string[] }
  )

export interface WarmupRequest {
  readonly path: string
  readonly times: number
}

/** One step of ending a process: send the signal, then wait for at most `waitMs` before the next one. */
export interface StopStep {
  readonly signal: NodeJS.Signals
  readonly waitMs: number
}

export interface AppConfig {
  readonly app: AppName
  /** The server's command, split into words: no shell ever sees it. */
  readonly run: readonly string[]
  /** At least one; the first is asked for health. */
  readonly ports: readonly PortSpec[]
  readonly build: readonly string[] | null
  readonly release: readonly string[] | null
  readonly shared: readonly string[]
  readonly workers: number
  readonly env: Readonly<Record<string, string>>
  /** Paths relative to the app's folder. */
  readonly envFiles: readonly string[]
  /** null: the owner of the app's folder. */
  readonly user: string | null
  readonly strategy: 'auto' | 'steer' | 'share' | 'stop-start'
  /** It must never run twice at once. */
  readonly exclusive: boolean
  /** `inherit`: a release is given its listening sockets (LISTEN_FDS). `auto`: as the strategy has it. */
  readonly bind: 'auto' | 'inherit'
  readonly health: HealthCheck
  readonly warmup: readonly WarmupRequest[]
  readonly deployTimeoutMs: number
  readonly drainTimeoutMs: number
  readonly stop: readonly StopStep[]
  /** How long after the last of these steps SIGKILL follows. */
  readonly stopTimeoutMs: number
  readonly standbyKeep: number
  readonly holdMs: number
  readonly retain: number
  /** How much room the log of a release may take on the disk. */
  readonly logMaxBytes: number
  readonly ignore: readonly string[]
}
