/** How long a worker that exited waits before it is started again. */

/** A worker that ran for this long was healthy: the next exit counts as its first. */
const healthyMs = 60_000

/** 0 the first time, then 1 s, 2 s, 4 s … 30 s; `exits` counts those in a row before this one. */
export const restartDelayMs = (exits: number): number => (exits === 0 ? 0 : Math.min(30_000, 1000 * 2 ** (exits - 1)))

/** Exits in a row before this one, if the worker ran for that long just now. */
export const exitsInARow = (before: number, ranMs: number): number => (ranMs >= healthyMs ? 0 : before)
