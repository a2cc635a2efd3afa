/** What the demo shows of its load: a line a second, and at the end the fate of every request. */
import { styleText } from 'node:util'
import { answeredIn, type Fates, type Load, lostIn } from '../test/support/load.ts'
import { fatesTable } from '../test/support/load-table.ts'

export interface Watch extends Disposable {
  end(): void
}

/** Prints requests per second by release, and what was lost so far, once a second. */
export function watchLoad(loads: Readonly<Record<string, Load>>): Watch {
  let before: Readonly<Record<string, number>> = {}
  let beforeMs = 0
  let busy = false
  const look = async () => {
    if (busy) return
    busy = true
    try {
      const fates = await Promise.all(Object.values(loads).map((load) => load.snapshot()))
      const answered = byRelease(fates)
      const elapsedMs = fates[0]?.elapsedMs ?? 0
      const rates = Object.entries(answered).map(([release, count]) => {
        const rate = Math.round(((count - (before[release] ?? 0)) / (elapsedMs - beforeMs)) * 1000)
        return `${styleText('cyan', release)} ${rate.toLocaleString('en-US').padStart(7)}/s`
      })
      const lost = fates.reduce((sum, one) => sum + lostIn(one), 0)
      console.log(`  ${(elapsedMs / 1000).toFixed(0).padStart(3)} s   ${rates.join('   ')}   lost ${lost}`)
      before = answered
      beforeMs = elapsedMs
    } finally {
      busy = false
    }
  }
  // A load that ended meanwhile says so to whoever stops it.
  const timer = setInterval(() => void look().catch(() => {}), 1000)
  const end = () => clearInterval(timer)
  return { end, [Symbol.dispose]: end }
}

/** The table, and one sentence that adds up. */
export function summary(loads: Readonly<Record<string, Fates>>): { readonly text: string; readonly lost: number } {
  const all = Object.values(loads)
  const lost = all.reduce((sum, fates) => sum + lostIn(fates), 0)
  const answered = all.reduce((sum, fates) => sum + answeredIn(fates), 0)
  const sentence = `${answered.toLocaleString('en-US')} requests answered, ${lost} lost. Nothing was retried.`
  return { text: `${fatesTable(loads)}\n\n${sentence}`, lost }
}

function byRelease(fates: readonly Fates[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const { answered } of fates) {
    for (const [release, count] of Object.entries(answered)) sums[release] = (sums[release] ?? 0) + count
  }
  return Object.fromEntries(Object.entries(sums).sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })))
}
