/** Tells the kernel which ports an app declares, for how long its clients may wait, and whose user opens the ports. */
import { activeOf } from '../core/app.ts'
import type { AppConfig } from '../core/app-config.ts'
import type { AppName } from '../core/words.ts'
import type { Node } from './node.ts'
import { lendToNext } from './users.ts'

/**
 * What counts is the active release's config. While a candidate comes up its ports are declared as well; should it fail, or should another
 * release take over, this is said again and they are given back.
 * @throws CutoverError `refused` if another app has one of the ports
 */
export function declare(node: Node, name: AppName, candidate: AppConfig | null = null): void {
  const { slot } = node.store.apps.get(name)
  const active = activeOf(node.store.apps.state(name))
  const config = active === null ? null : node.store.apps.config(name, active.number).config
  const ports = new Set([...(config?.ports ?? []), ...(candidate?.ports ?? [])].map(({ port }) => port))
  const holdMs = (config ?? candidate)?.holdMs ?? 0
  node.steering().addApp(slot, { ports: [...ports], holdMs })
  lendToNext(node, name)
}
