/** What a series of measurements says: its median, and how far it spreads. */

export interface Series {
  readonly median: number
  /** The 10th and 90th percentile: what a quiet and a busy moment of the machine give. */
  readonly low: number
  readonly high: number
  readonly p99: number
  readonly count: number
}

/** @throws Error for no values at all */
export function seriesOf(values: readonly number[]): Series {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => percentile(sorted, share)
  return { median: at(0.5), low: at(0.1), high: at(0.9), p99: at(0.99), count: sorted.length }
}

/** Pair by pair, so that a machine that gets slower in between changes both alike. */
export const ratiosOf = (values: readonly number[], peers: readonly number[]): number[] =>
  values.map((value, index) => value / (peers[index] ?? Number.NaN))

/** Pair by pair, for the same reason. */
export const differencesOf = (values: readonly number[], peers: readonly number[]): number[] =>
  values.map((value, index) => value - (peers[index] ?? Number.NaN))

/** With so many tries and nothing seen, the true rate is below this with 95 % confidence (the rule of three). */
export const boundOfZero = (tries: number): number => 3 / tries

function percentile(sorted: readonly number[], share: number): number {
  const place = (sorted.length - 1) * share
  const below = sorted[Math.floor(place)]
  const above = sorted[Math.ceil(place)]
  if (below === undefined || above === undefined) throw new Error('nothing was measured')
  return below + (above - below) * (place - Math.floor(place))
}
