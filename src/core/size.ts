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

const isUnit = (text: string | undefined): text is keyof typeof units =>
  text !== undefined && Object.hasOwn(units, text)
