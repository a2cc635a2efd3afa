/** How the releases of an app get their ports and traffic on this node: decided at a deploy, kept with the release, and told when it changes. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { activeOf } from '../core/app.ts'
import type { AppConfig } from '../core/app-config.ts'
import { refusal } from '../core/errors.ts'
import { decide, inherits, strategyOf } from '../core/strategy.ts'
import { type AppName, named } from '../core/words.ts'
import { SystemError } from '../linux/ffi.ts'
import { socketInodes } from '../linux/proc.ts'
import { dumpTcp } from '../linux/sock-diag.ts'
import { allRunning, type Node, type Running } from './node.ts'

/**
 * The config as it is kept with the release, with what `auto` is on this node.
 * @throws CutoverError `refused` where the config insists on `steer` and this node cannot
 */
export function decided(node: Node, config: AppConfig): AppConfig {
  const decision = decide(config, () => whyNotSteer(node) === null)
  const hindered = decision.strategy === 'steer' ? whyNotSteer(node) : null
  if (hindered !== null)
    throw refusal(
      `strategy: steer does not work here: ${hindered}. Leave it out, and share is taken instead. See: cutover doctor`,
    )
  return { ...config, ...decision }
}

/** What keeps this node from steering, or null. */
export function whyNotSteer(node: Node): string | null {
  if (process.geteuid?.() !== 0) return 'the daemon does not run as root'
  try {
    node.steer()
    return null
  } catch (error) {
    if (error instanceof SystemError) return error.message
    throw error
  }
}

/**
 * A port is steered or shared: while a release of the app runs it cannot be both.
 * @throws CutoverError `refused`
 */
export function requireSameWay(node: Node, app: AppName, config: AppConfig): void {
  const other = allRunning(node, app).find((one) => inherits(one.config) !== inherits(config))
  if (other === undefined) return
  const [has, gets] = inherits(config)
    ? ['opens its ports itself', 'be given them']
    : ['was given its ports', 'open them itself']
  throw refusal(
    `${app} ${named(other.release)} runs and ${has}, and this release is to ${gets}: both at once cannot be. ` +
      `With an outage it can: cutover stop ${app}, then the same again.`,
  )
}

/** What is worth saying aloud: that the strategy is not the one of the release that is live. Null if it is. */
export function changeOfStrategy(node: Node, app: AppName, config: AppConfig): string | null {
  const active = activeOf(node.store.apps.state(app))
  if (active === null) return null
  const [before, now] = [node.store.apps.config(app, active.number).config, config].map(strategyOf)
  if (before === now) return null
  const why = now === 'share' ? whyNotSteer(node) : null
  return `strategy: ${now} from this release on; ${named(active.number)} has ${before}${why === null ? '' : ` (${why})`}`
}

/** What a check by a command cannot see, or null: it comes to the port like any client. */
export const checksAnother = (config: AppConfig): string | null =>
  inherits(config) && config.health.kind === 'command'
    ? 'health is a command: if it asks the port, the active release answers it, and not the one that comes up. To reach that one: {path: …} or {tcp: true}'
    : null

/** What an app may have made of the sockets that it was given, as the end of a sentence: that it opened a port itself. Empty if it did not. */
export function opensItself(node: Node, { ref, instance, config }: Running): string {
  if (!inherits(config)) return ''
  const given = new Set(
    [ref, { app: ref.app, release: 0 }].flatMap((one) => node.steering().listeners(one)).map(({ cookie }) => cookie),
  )
  const inodes = new Set(instance.pids().flatMap(socketInodes))
  const own = dumpTcp({ states: ['listen'] }).filter(({ inode, cookie }) => inodes.has(inode) && !given.has(cookie))
  const ports = [...new Set(own.map(({ localPort }) => localPort))]
  return ports.length === 0 ? '' : `; it listens on ${ports.join(', ')} by itself, ${insteadOf}`
}

/**
 * The connection, once a program has accepted it.
 * @throws Error if nobody has after that time
 */
export async function untilAccepted(socket: Socket, patienceMs: number): Promise<Socket> {
  await once(socket, 'connect')
  const { localPort: from, remotePort: port } = socket
  const deadline = performance.now() + patienceMs
  while (performance.now() < deadline) {
    const ours = dumpTcp({ states: ['established', 'close-wait'], port: port ?? 0 }).find(
      (one) => one.remotePort === from,
    )
    // Until then no process has it.
    if (ours === undefined || ours.inode !== 0) return socket
    await sleep(lookMs)
  }
  socket.destroy()
  throw new Error('nobody accepts')
}

/** The kernel tells nobody that a connection was accepted. */
const lookMs = 10

/** What a program that found its port taken most likely is. */
export const foundItTaken = (log: readonly string[]): boolean =>
  log.some((line) => /EADDRINUSE|already in use|bind\(\).*failed/i.test(line))

/** Whether the shell that was to become the program could not (instances/spawn.ts), although the file is there: as dash says it, and bash. */
export const lacksInterpreter = (log: readonly string[]): boolean =>
  log.some((line) => /: exec: .*: not found$|: cannot execute: required file not found$|: bad interpreter: /.test(line))

export const insteadOf =
  'and has to take the socket that it is given: descriptor 3, told by LISTEN_FDS (see docs/share.md)'
