/** What the pictures of docs/how-it-works.md show, as it happened: a node with clients, deployed to, rolled back, and one release killed. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventDocument, Progress, Receipt } from '../../src/core/documents.ts'
import { identify, sendSignal } from '../../src/linux/process.ts'
import { dumpTcp } from '../../src/linux/sock-diag.ts'
import { app, appFolder, port } from '../../test/support/app.ts'
import { startNode, type TestNode } from '../../test/support/node.ts'
import type { Scope } from '../figures.ts'
import { type Asked, type Clients, clock, startClients } from './clients.ts'

/** Something that lasted, in ms of {@link clock}. */
export interface Span {
  readonly from: number
  readonly to: number
  readonly text: string
}

export interface Scene {
  readonly title: string
  readonly from: number
  readonly to: number
  /** Of the operation, in their order, each with its name. */
  readonly steps: readonly (Span & { readonly step: string })[]
  /** What `cutover events` told of the app meanwhile. */
  readonly events: readonly { readonly at: number; readonly event: string; readonly text: string }[]
  /** By release: what it was, and when. */
  readonly releases: Readonly<Record<string, readonly Span[]>>
  readonly clients: readonly (readonly Asked[])[]
  /** How many connections waited in the listeners of the port, each time that it was looked at; empty where nobody looked. */
  readonly waiting: readonly { readonly at: number; readonly count: number }[]
  /** What the receipt said of it; null where there was no operation. */
  readonly receipt: string | null
}

/** Six clients whose requests take a millisecond or two, and three whose requests take their time. */
const paths = [...Array<string>(6).fill('/'), ...[230, 310, 400].map((ms) => `/slow?ms=${ms}`)]
const pauseMs = 15
/** That much is shown before and after. */
const marginMs = 120

/** Plays all of it on a node of its own, which takes some seconds. */
export async function play(scope: Scope): Promise<Readonly<Record<'deploy' | 'rollback' | 'hold', Scene>>> {
  const node = await startNode(scope)
  const told = listen(node)
  const folder = appFolder(scope, { hold: '30s' })
  await node.deploy(folder)
  const clients = startClients(port, paths, pauseMs)
  scope.after(() => clients.stop())
  await sleep(3 * marginMs)
  const stage = { node, clients, told }
  const deploy = await deployed(stage, folder)
  const rollback = await rolledBack(stage)
  const hold = await held(stage)
  return { deploy, rollback, hold }
}

interface Stage {
  readonly node: TestNode
  readonly clients: Clients
  readonly told: readonly EventDocument[]
}

async function deployed({ node, clients, told }: Stage, folder: string): Promise<Scene> {
  const from = clock() - marginMs
  const steps: Scene['steps'][number][] = []
  const receipt = await node.deploy(folder, (progress) => note(steps, progress))
  const { to, events } = await until(told, from, 'standby')
  const asked = await clients.between(from, to)
  const start = from + marginMs
  const standby = timeOf(events, 'standby')
  const switched = switchedTo('v2', asked, timeOf(events, 'deploy'))
  const born = steps.find(({ step }) => step === 'start')?.from ?? start
  return {
    title: 'A deploy under load',
    from,
    to,
    steps,
    events,
    releases: {
      v1: leaving(from, switched, standby, to),
      v2: [
        { from: born, to: switched, text: 'dark' },
        { from: switched, to, text: 'active' },
      ],
    },
    clients: asked,
    waiting: [],
    receipt: summary(receipt),
  }
}

async function rolledBack({ node, clients, told }: Stage): Promise<Scene> {
  await sleep(2 * marginMs)
  const from = clock() - marginMs
  const receipt = await node.rollback(app)
  const answered = clock()
  const { to, events } = await until(told, from, 'standby')
  const asked = await clients.between(from, to)
  const standby = timeOf(events, 'standby')
  const switched = switchedTo('v1', asked, timeOf(events, 'rollback'))
  const command = { from: from + marginMs, to: answered }
  return {
    title: 'A rollback under load',
    from,
    to,
    steps: [{ ...command, step: 'rollback', text: `${Math.round(command.to - command.from)} ms` }],
    events,
    releases: {
      v1: [
        { from, to: switched, text: 'stands by' },
        { from: switched, to, text: 'active' },
      ],
      v2: leaving(from, switched, standby, to),
    },
    clients: asked,
    waiting: [],
    receipt: summary(receipt),
  }
}

/** The active release is killed: clients wait, and are answered by its next process. */
async function held({ node, clients, told }: Stage): Promise<Scene> {
  await sleep(2 * marginMs)
  const from = clock() - marginMs
  const { active, releases } = await node.app(app)
  const worker = identify(releases.find(({ release }) => release === active)?.pids[0] ?? 0)
  if (worker === null) throw new Error('the active release has no process')
  const waiting: { at: number; count: number }[] = []
  const look = setInterval(() => waiting.push({ at: clock(), count: waitingNow() }), 4)
  const killed = clock()
  sendSignal(worker, 'SIGKILL')
  const { to, events } = await until(told, from, 'handed-on').finally(() => clearInterval(look))
  const again = timeOf(events, 'handed-on')
  return {
    title: 'The active release is killed, with hold',
    from,
    to,
    steps: [],
    events,
    releases: {
      v1: [
        { from, to: killed, text: 'active' },
        { from: killed, to: again, text: 'no process that listens' },
        { from: again, to, text: 'active' },
      ],
    },
    clients: await clients.between(from, to),
    waiting,
    receipt: null,
  }
}

/** Of a release that is left: it still has what it had, and then stands by. */
const leaving = (from: number, switched: number, standby: number, to: number): Span[] => [
  { from, to: switched, text: 'active' },
  { from: switched, to: standby, text: 'finishes' },
  { from: standby, to, text: 'stands by' },
]

const waitingNow = (): number => dumpTcp({ states: ['listen'], port }).reduce((sum, one) => sum + one.receiveQueue, 0)

/** All events from here on, as they come. */
function listen(node: TestNode): EventDocument[] {
  const told: EventDocument[] = []
  const events = node.client.events(0)
  const read = async () => {
    for await (const event of events) told.push(event)
  }
  // It ends with the daemon.
  void read().catch(() => {})
  return told
}

/** Waits for that event, for the daemon's next word at most 30 s, and a margin more. */
async function until(told: readonly EventDocument[], from: number, last: string) {
  const since = () =>
    told.flatMap(({ at, event, text }) => (Date.parse(at) >= from ? [{ at: Date.parse(at), event, text }] : []))
  for (const deadline = clock() + 30_000; !since().some(({ event }) => event === last); await sleep(5))
    if (clock() > deadline) throw new Error(`there was no event "${last}"`)
  await sleep(marginMs)
  return { to: clock(), events: since() }
}

function timeOf(events: Scene['events'], wanted: string): number {
  const found = events.find(({ event }) => event === wanted)
  if (found === undefined) throw new Error(`there was no event "${wanted}"`)
  return found.at
}

function note(steps: Scene['steps'][number][], progress: Progress): void {
  if (progress.type !== 'end') return
  const { step, ms, us } = progress
  const to = clock()
  steps.push({ step, from: to - ms, to, text: inWords(ms, us) })
}

const inWords = (ms: number, us: number | null): string =>
  us === null ? `${Math.round(ms)} ms` : `${Math.round(ms)} ms, of it the switch ${us.toFixed(1)} µs`

const summary = ({ lost, remaining, previous, release, cutover }: Receipt): string =>
  `The receipt: v${previous} → v${release} in ${cutover?.switch_us.toFixed(1)} µs; ${lost.listen_drops} lost; ${remaining} connections still with v${previous} then`

/** When new connections were the release's at the latest: the event is written after that, and a client may have its answer before. */
const switchedTo = (release: string, clients: Scene['clients'], event: number): number =>
  Math.min(event, ...clients.flat().flatMap(({ by, to }) => (by === release ? [to] : [])))
