/** What is live, what stands by: asked for and shown. */
import type { AppStatus, ReleaseStatus } from '../../core/documents.ts'
import { spokenDuration } from '../../core/duration.ts'
import { named } from '../../core/words.ts'
import { connect } from '../connect.ts'
import { say, sayJson, styled, widthOf } from '../print.ts'
import { columns, count, portList, printable } from '../text.ts'

export async function status(app: string | undefined, { json }: { readonly json?: boolean }): Promise<void> {
  const answer = await connect().status(app)
  if (json) return sayJson(answer)
  if (answer.apps.length === 0) return say('Nothing is deployed yet. To deploy the app in this folder: cutover deploy')
  for (const [index, app] of answer.apps.entries()) {
    if (index > 0) say('')
    for (const line of linesOf(app, Date.now())) say(line)
  }
}

/** `shop  :8080  steer` and a line a release, with what is wrong or under way below. */
function linesOf(app: AppStatus, now: number): string[] {
  const ports = portList(app.ports.filter(({ declared }) => declared).map(({ port }) => port))
  const heading = [printable(app.app), ports, app.strategy, app.stopped ? 'stopped' : ''].filter(Boolean).join('  ')
  const rows = rowsOf(app.releases.map((release) => cells(release, now)))
  return [
    heading,
    ...app.releases.flatMap((release, index) => [...(rows[index] ?? []).map(colour), ...troubles(release)]),
    ...[app.busy, app.found].filter((text) => text !== null).map((text) => `  ${printable(text)}`),
  ]
}

interface Cells {
  /** Which release, its state, since when. */
  readonly what: readonly string[]
  readonly figures: readonly string[]
  readonly label: string
}

function cells({ release, state, since, rate, connections, memory_mb, label }: ReleaseStatus, now: number): Cells {
  return {
    what: [named(release), state.padEnd(7), spokenDuration(now - Date.parse(since)).padStart(6)],
    figures: [rate === null ? '' : `${count(rate)}/s`, `${count(connections.open)} open`, `${count(memory_mb)} MB`],
    label: printable(label ?? ''),
  }
}

/** The lines of each release: one, or two where the terminal is too narrow for that. */
function rowsOf(releases: readonly Cells[]): string[][] {
  const wide = columns(
    releases.map(({ what, figures: [rate = '', open = '', memory = ''], label }) => [
      ...what,
      rate.padStart(6),
      open,
      memory.padStart(6),
      label,
    ]),
    [2, 3, 4, 5],
  ).map((line) => `  ${line}`)
  if (wide.every((line) => line.length <= widthOf(process.stdout))) return wide.map((line) => [line])
  const above = columns(
    releases.map(({ what, label }) => [...what, label]),
    [2],
  )
  const below = columns(
    releases.map(({ figures }) => figures),
    [0, 1, 2],
  )
  return releases.map((_, index) => [`  ${above[index]}`, `      ${below[index]}`])
}

function troubles({ restarts, note }: ReleaseStatus): string[] {
  const restarted = restarts > 0 && `started again ${restarts === 1 ? 'once' : `${restarts} times`}`
  return [restarted, note !== null && printable(note)].filter((text) => text !== false).map((text) => `      ${text}`)
}

const colour = (line: string): string =>
  line.replace(/(?<=^ {2})v\d+/, (release) => styled('cyan', release, process.stdout))
