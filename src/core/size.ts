/** Amounts of bytes as a config writes them: `512KB`, `100MB`, `2GB`. */

const units = { KB: 1e3, MB: 1e6, GB: 1e9 } as const

/** What a size looks like, for messages. */
export const sizeForm = 'a size like 512KB, 100MB or 2GB'

/** Bytes of `512KB`, `100MB`, `1.5GB`; null if the text is no size. */
export function parseSize(text: string): number | null {
  const [, number, unit] = /^(\d{1,6}(?:\.\d{1,3})?)(KB|MB|GB)$/.exec(text) ?? []
  if (!number || !isUnit(unit)) return null
  return Math.round(Number(number) * units[unit])
}

/** In the largest unit that says it with three digits behind the point: 100000000 → `100MB`, 1500000000 → `1.5GB`. */
export function formatSize(bytes: number): string {
  const unit =
    (['GB', 'MB'] as const).find((unit) => bytes >= units[unit] && bytes % (units[unit] / 1000) === 0) ?? 'KB'
  return `${bytes / units[unit]}${unit}`
}

const isUnit = (text: string | undefined): text is keyof typeof units =>
  text !== undefined && Object.hasOwn(units, text)
