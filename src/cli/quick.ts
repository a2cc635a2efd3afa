/**
 * The commands that people wait for, where nothing is written behind them but an app: that needs no parser, and commander takes longer to
 * load than a rollback takes.
 */

type Act = (app: string | undefined, options: Record<never, never>) => Promise<void>

const acts: Readonly<Record<string, () => Promise<Act>>> = {
  status: async () => (await import('./acts/status.ts')).status,
  rollback: async () => (await import('./acts/rollback.ts')).rollback,
}

/** What is to be done, or null where the command line has to be parsed. */
export function quick([name = '', app, ...more]: readonly string[]): (() => Promise<void>) | null {
  const load = Object.hasOwn(acts, name) ? acts[name] : undefined
  if (load === undefined || more.length > 0 || app?.startsWith('-')) return null
  return async () => (await load())(app, {})
}
