/** Which strategy an app has: pure, from its config. */
import type { AppConfig } from './app-config.ts'
import type { Strategy } from './words.ts'

/** `auto` is `steer`, unless the app must never run twice. Releases of an earlier version of Cutover do not say whether they must not. */
export const strategyOf = ({ strategy, exclusive }: Pick<AppConfig, 'strategy' | 'exclusive'>): Strategy =>
  strategy === 'auto' ? (exclusive ? 'stop-start' : 'steer') : strategy
