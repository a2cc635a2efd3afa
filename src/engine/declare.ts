/** Tells the kernel which ports an app declares, for how long its clients may wait, and whose user opens the ports. */
import { activeOf } from '../core/app.ts'
import type { AppConfig } from '../core/app-config.ts'
import { inherits } from '../core/strategy.ts'
import type { AppName } from '../core/words.ts'
import type { Node } from './node.ts'
import { presentPorts } from './ports.ts'
import { lendToNext } from './users.ts'

/**
 * A port is the app's as long as a release of it that is live, drains or stands by declares it: a worker of any of them may be started again.
 * While a candidate comes up its ports are declared as well. Whenever one of them is over this is said again, and what only that one declared
 * is given back. How long clients may wait is what the active release's config says.
 * @throws CutoverError `refused` if another app has one of the ports
 */
export function declare(node: Node, name: AppName, candidate: AppConfig | null = null): void {
  const { slot } = node.store.apps.get(name)
  const active = activeOf(node.store.apps.state(name))
  const config = active === null ? null : node.store.apps.config(name, active.number).config
  const ports = presentPorts(node, name)
  for (const { port } of candidate?.ports ?? []) ports.add(port)
  const holdMs = (config ?? candidate)?.holdMs ?? 0
  const decisive = candidate ?? config
  node.steering().addApp(slot, { ports: [...ports], holdMs, inherit: decisive !== null && inherits(decisive) })
  lendToNext(node, name)
}
