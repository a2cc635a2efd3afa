/** Which strategy an app has, and how its releases get their ports: pure, from its config and from what the node can do. */
import type { AppConfig } from './app-config.ts'
import type { Strategy } from './words.ts'

/** What `auto` is on this node. */
export interface Decision {
  readonly strategy: Strategy
  /** `inherit`: a release is given its listening sockets; `auto`: it opens them itself, and the kernel is told. */
  readonly bind: 'auto' | 'inherit'
}

type Wish = Pick<AppConfig, 'strategy' | 'exclusive' | 'bind'>

/**
 * `auto` is `steer` where that works and the app opens its port itself, else `share`; of an app that must never run twice it is `stop-start`.
 * @param steers whether this node can steer; not asked where it does not matter
 */
export function decide({ strategy, exclusive, bind }: Wish, steers: () => boolean): Decision {
  const inherits = bind === 'inherit' || strategy === 'share' || (strategy !== 'steer' && !steers())
  const chosen = strategy === 'auto' ? (exclusive ? 'stop-start' : inherits ? 'share' : 'steer') : strategy
  return { strategy: chosen, bind: inherits ? 'inherit' : 'auto' }
}

/** Of a release, whose config says what was decided. Those of an earlier version of Cutover say `auto`, and steered. */
export const strategyOf = ({ strategy, exclusive }: Pick<AppConfig, 'strategy' | 'exclusive'>): Strategy =>
  strategy === 'auto' ? (exclusive ? 'stop-start' : 'steer') : strategy

/** Whether a release is given its listening sockets. */
export const inherits = ({ bind }: Pick<AppConfig, 'bind'>): boolean => bind === 'inherit'
