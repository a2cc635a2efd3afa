/** Every command of Cutover, in the order in which help lists them. Each is loaded only when it is used. */
import type { Command } from 'commander'

export interface Entry {
  readonly summary: string
  readonly load: () => Promise<{ readonly command: () => Command }>
}

export const commands: Readonly<Record<string, Entry>> = {
  deploy: { summary: 'put a new release of an app live', load: () => import('./commands/deploy.ts') },
  rollback: { summary: 'give traffic back to a former release', load: () => import('./commands/rollback.ts') },
  restart: { summary: 'start the live release anew, losing nothing', load: () => import('./commands/restart.ts') },
  status: { summary: 'what is live, what stands by', load: () => import('./commands/status.ts') },
  history: { summary: 'what was done, by whom, and how it ended', load: () => import('./commands/history.ts') },
  logs: { summary: 'what an app wrote', load: () => import('./commands/logs.ts') },
  events: { summary: 'what happens, as it happens', load: () => import('./commands/events.ts') },
  stop: { summary: 'stop an app and refuse its clients', load: () => import('./commands/stop.ts') },
  start: { summary: 'start a stopped app again', load: () => import('./commands/start.ts') },
  remove: { summary: 'end an app for good and give its ports back', load: () => import('./commands/remove.ts') },
  doctor: { summary: 'try what works on this machine', load: () => import('./commands/doctor.ts') },
  init: { summary: 'write a cutover.yaml for the app in a folder', load: () => import('./commands/init.ts') },
  validate: { summary: 'check a cutover.yaml', load: () => import('./commands/validate.ts') },
  config: { summary: 'what a cutover.yaml means, with every default', load: () => import('./commands/config.ts') },
  daemon: { summary: 'run the daemon, or stop it', load: () => import('./commands/daemon.ts') },
  completion: { summary: 'complete commands in bash, zsh or fish', load: () => import('./commands/completion.ts') },
  version: { summary: 'which version this is', load: () => import('./commands/version.ts') },
}

/** What the scripts of `cutover completion` call. Help does not list it. */
export const commandsForShells: Readonly<Record<string, Pick<Entry, 'load'>>> = {
  complete: { load: () => import('./commands/complete.ts') },
}

/** Commands that Cutover will have: refused until then, in so many words. */
export const notBuiltYet: readonly string[] = ['promote', 'canary', 'abort', 'drain', 'pause', 'resume', 'maintenance']
