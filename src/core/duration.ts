/** Lengths of time as a config writes them (`500ms`, `30s`, `10m`, `2h`) and as people read them. */

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const

/** What a duration looks like, for messages. */
export const durationForm = 'a duration like 500ms, 30s, 10m or 2h'

/** The longest duration that can be written, in ms: 24 days, which is what a timer of Node can wait (2³¹ − 1 ms). */
export const longestDuration = 24 * 24 * units.h

/** Milliseconds of `500ms`, `30s`, `1.5s`, `10m`, `2h`; null if the text is no duration. `0s` is one. */
export function parseDuration(text: string): number | null {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? []
  if (!number || !isUnit(unit)) return null
  const ms = Math.round(Number(number) * units[unit])
  return ms <= longestDuration ? ms : null
}

/** The shortest way to write it in a config: 30000 → `30s`, 90000 → `90s`, 1500 → `1500ms`. */
export function formatDuration(ms: number): string {
  const unit = (['h', 'm', 's'] as const).find((unit) => ms !== 0 && ms % units[unit] === 0)
  return unit ? `${ms / units[unit]}${unit}` : ms === 0 ? '0s' : `${ms}ms`
}

/** A length of time as said to people, in whole units that they think in: `10 s`, `3 min`, `2 h`, `4 d`. Less than zero is `0 s`. */
export function spokenDuration(ms: number): string {
  if (ms < units.m) return `${Math.max(0, Math.floor(ms / units.s))} s`
  if (ms < units.h) return `${Math.floor(ms / units.m)} min`
  if (ms < 48 * units.h) return `${Math.floor(ms / units.h)} h`
  return `${Math.floor(ms / (24 * units.h))} d`
}

const isUnit = (text: string | undefined): text is keyof typeof units =>
  text !== undefined && Object.hasOwn(units, text)
