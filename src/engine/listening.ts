/** Where clients of an app get to at this moment. */
import { activeOf } from '../core/app.ts'
import { formatDuration } from '../core/duration.ts'
import { type AppName, named } from '../core/words.ts'
import { triedAtOnce } from './clean-up.ts'
import { type Node, type Running, runningOf } from './node.ts'

/** Whether somebody listens for the release on each declared port. */
export function listensEverywhere(node: Node, { ref, config }: Running): boolean {
  const listeners = node.steering().listeners(ref)
  return config.ports.every(({ port }) => listeners.some((one) => one.port === port))
}

/** Where traffic is, as the end of a message: `Traffic is on v5, as before.` */
export function trafficIsOn(node: Node, app: AppName): string {
  const state = node.store.apps.state(app)
  const active = activeOf(state)
  if (active === null) return 'Nothing of it is live, as before.'
  if (state.stopped) return 'The app stays stopped, as before.'
  const release = named(active.number)
  const running = runningOf(node, app, active.number)
  // Nothing of it is in the kernel then either, so that nobody waits for it.
  if (running === null) return `${release} is the live release and does not run: clients are refused.`
  // Where nothing is left to look with, it runs as it did before.
  let listens = true
  triedAtOnce(node, `look whether ${app} ${release} listens`, () => {
    listens = listensEverywhere(node, running)
  })
  if (listens) return `Traffic is on ${release}, as before.`
  const { holdMs } = running.config
  const clients =
    holdMs > 0 ? `clients wait up to ${formatDuration(holdMs)} (hold) and are refused then` : 'clients are refused'
  return `${release} is the live release and does not listen at this moment: ${clients}.`
}
