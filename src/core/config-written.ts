/** A config in the words of the contract, every default filled in: what `cutover config` shows. */
import { anyAddress } from './address.ts'
import type { AppConfig, HealthCheck, StopStep } from './app-config.ts'
import { formatDuration } from './duration.ts'
import { formatSize } from './size.ts'

/** What stands for a value that may be a secret. */
export const hidden = '(hidden)'

/** The keys of a `cutover.yaml` that says the same. The values of `env` are hidden: people put secrets there, for all that they should not. */
export const writtenConfig = (config: AppConfig): Readonly<Record<string, unknown>> => ({
  app: config.app,
  run: config.run,
  ports: config.ports.map(({ port, protocol, address }) => ({
    port,
    protocol,
    ...(address !== null && { address: address === anyAddress ? 'any' : address }),
  })),
  build: config.build,
  release: config.release,
  shared: config.shared,
  workers: config.workers,
  env: Object.fromEntries(Object.keys(config.env).map((name) => [name, hidden])),
  env_file: config.envFiles,
  user: config.user,
  strategy: config.strategy,
  exclusive: config.exclusive,
  bind: config.bind,
  health: writtenHealth(config.health),
  warmup: config.warmup,
  deploy_timeout: formatDuration(config.deployTimeoutMs),
  drain_timeout: formatDuration(config.drainTimeoutMs),
  stop_signal: config.stop.flatMap(writtenStop),
  stop_timeout: formatDuration(config.stopTimeoutMs),
  standby: { keep: config.standbyKeep, mode: 'awake' },
  hold: formatDuration(config.holdMs),
  retain: config.retain,
  logs: { max: formatSize(config.logMaxBytes) },
  ignore: config.ignore,
})

function writtenHealth(check: HealthCheck): object {
  const { intervalMs, timeoutMs, healthy, unhealthy } = check
  return {
    ...writtenCheck(check),
    interval: formatDuration(intervalMs),
    timeout: formatDuration(timeoutMs),
    healthy,
    unhealthy,
  }
}

function writtenCheck(check: HealthCheck): object {
  switch (check.kind) {
    case 'auto':
      return {}
    case 'http':
      return {
        path: check.path,
        ...(check.host !== null && { host: check.host }),
        ...(check.status !== null && { status: check.status }),
      }
    case 'tcp':
      return { tcp: true }
    case 'command':
      return { command: check.command }
  }
}

const writtenStop = ({ signal, waitMs }: StopStep): string[] => {
  const name = signal.replace(/^SIG/, '')
  return waitMs > 0 ? [name, formatDuration(waitMs)] : [name]
}
