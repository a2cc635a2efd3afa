/** What is true after an operation: one sentence, and one of figures. */
import type { Receipt } from '../core/documents.ts'
import { named } from '../core/words.ts'
import { counted, elapsed, portList, printable } from './text.ts'

/** Each a line for people. */
export function closing(receipt: Receipt): string[] {
  const { kind, release, previous, ports } = receipt
  const app = printable(receipt.app)
  const live = `${app} ${named(release)} is live`
  const on = ports.length > 0 ? ` on ${portList(ports)}` : ''
  switch (kind) {
    case 'deploy':
    case 'restart':
      return [
        `${live}${on}.${previous === null ? '' : ` ${named(previous)} ${leftAs(receipt)}: cutover rollback`}`,
        figures(receipt),
      ]
    case 'rollback': {
      const back =
        previous === null ? '' : ` ${named(previous)} ${leftAs(receipt)}: cutover rollback --to ${named(previous)}`
      return [`${live} again${on}.${back}`, figures(receipt)]
    }
    case 'start':
      return [`${live}${on}.`, figures(receipt)]
    case 'stop':
      return [`${app} is stopped, and clients are refused${on}. To start it again: cutover start ${app}`]
    case 'remove':
      return [`${app} is removed${ports.length > 0 ? `; ${portList(ports)} is free` : ''}.`]
  }
}

const leftAs = ({ cutover }: Receipt): string => (typeof cutover?.off_ms === 'number' ? 'was ended' : 'stands by')

/** `lost 0 · 14 connections still with v4 · 5.2 s in all` */
function figures({ lost, remaining, previous, cutover }: Receipt): string {
  const total = lost.listen_drops + lost.cut
  const reasons = [
    lost.listen_drops > 0 && `${lost.listen_drops} dropped at full queues`,
    lost.cut > 0 && `${lost.cut} cut after drain_timeout`,
  ].filter((reason) => reason !== false)
  return [
    `lost ${total}${total > 0 ? ` (${reasons.join(', ')})` : ''}`,
    remaining > 0 && previous !== null && `${counted(remaining, 'connection')} still with ${named(previous)}`,
    typeof cutover?.off_ms === 'number' && `nobody served for ${elapsed(cutover.off_ms)}`,
    cutover !== null && `${elapsed(cutover.total_ms)} in all`,
  ]
    .filter((figure) => figure !== false)
    .join(' · ')
}
