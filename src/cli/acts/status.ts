/** What is live, what stands by: asked for and shown. */
import type { AppStatus, ReleaseStatus } from '../../core/documents.ts'
import { spokenDuration } from '../../core/duration.ts'
import { named } from '../../core/words.ts'
import { connect } from '../connect.ts'
import { say, sayJson, styled } from '../print.ts'
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

const right = [2, 3, 4, 5]

/** `shop  :8080  steer` and a line a release, with what is wrong or under way below. */
function linesOf(app: AppStatus, now: number): string[] {
  const ports = portList(app.ports.filter(({ declared }) => declared).map(({ port }) => port))
  const heading = [printable(app.app), ports, app.strategy, app.stopped ? 'stopped' : ''].filter(Boolean).join('  ')
  const rows = columns(
    app.releases.map((release) => cells(release, now)),
    right,
  )
  return [
    heading,
    ...app.releases.flatMap((release, index) => [`  ${rows[index]?.replace(/^\S+/, colour)}`, ...troubles(release)]),
    ...[app.busy, app.found].filter((text) => text !== null).map((text) => `  ${printable(text)}`),
  ]
}

function cells({ release, state, since, rate, connections, memory_mb, label }: ReleaseStatus, now: number): string[] {
  return [
    named(release),
    state.padEnd(7),
    spokenDuration(now - Date.parse(since)).padStart(6),
    `${count(rate)}/s`.padStart(6),
    `${count(connections.open)} open`,
    `${count(memory_mb)} MB`.padStart(6),
    printable(label ?? ''),
  ]
}

function troubles({ restarts, note }: ReleaseStatus): string[] {
  const restarted = restarts > 0 && `started again ${restarts === 1 ? 'once' : `${restarts} times`}`
  return [restarted, note !== null && printable(note)].filter((text) => text !== false).map((text) => `      ${text}`)
}

const colour = (release: string): string => styled('cyan', release, process.stdout)
