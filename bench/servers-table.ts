/** What was seen of the servers, as docs/servers.md shows it. */
import { spawnSync } from 'node:child_process'
import type { Killed } from '../test/support/killing.ts'
import { answeredIn, lostIn } from '../test/support/load.ts'
import { type ServerName, servers } from '../test/support/servers.ts'
import type { FatesByKind } from '../test/support/switching.ts'

export interface Seen {
  readonly name: ServerName
  readonly fates: FatesByKind
  readonly killed: Killed
}

/** Nothing lost in all the switches, and by the kills nothing but what was in flight. */
export const isAsPromised = ({ fates, killed }: Seen): boolean =>
  [...fates.values()].every((fate) => lostIn(fate) === 0) && lostIn(killed.fates) <= killed.inFlight

/** One line a server. */
export function serversTable(seen: readonly Seen[]): string {
  const kinds = ['short', 'keep-alive', 'slow', 'trickle', 'websocket', 'stream'] as const
  const head = ['server', 'who listens', ...kinds, 'lost', 'killed: in flight / in the queue / lost']
  const rows = seen.map(({ name, fates, killed }) => [
    `${servers[name].title} ${versionOf(name)}`,
    servers[name].listens,
    ...kinds.map((kind) => {
      const fate = fates.get(kind)
      return fate === undefined ? '–' : whole(answeredIn(fate))
    }),
    whole([...fates.values()].reduce((sum, fate) => sum + lostIn(fate), 0)),
    [killed.inFlight, killed.queued, lostIn(killed.fates)].map(whole).join(' / '),
  ])
  const rule = head.map((_, column) => (column < 2 ? '---' : '---:'))
  return [head, rule, ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

/** What is to know about them, one a line. */
export const notesOf = (seen: readonly Seen[]): string =>
  seen
    .filter(({ name }) => servers[name].note !== '')
    .map(({ name }) => `- ${servers[name].title}: ${servers[name].note}`)
    .join('\n')

/** The first version number that it prints, on whichever stream. */
function versionOf(name: ServerName): string {
  const [program = '', ...args] = servers[name].version
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  return /\d+(\.\d+)+/.exec(stdout + stderr)?.[0] ?? ''
}

const whole = (value: number): string => new Intl.NumberFormat('en').format(value)
