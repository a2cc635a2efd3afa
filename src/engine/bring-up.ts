/** From the files of a release to one that is proven ready, dark: start, health, warm-up. Deploy, rollback, start and recovery use it. */
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { endpointText } from '../core/address.ts'
import { CutoverError, failure } from '../core/errors.ts'
import { standingText } from '../core/reach.ts'
import { isCandidate } from '../core/states.ts'
import { inherits } from '../core/strategy.ts'
import type { AppName, ReleaseNumber } from '../core/words.ts'
import { hostOf, untilHealthy } from '../instances/health.ts'
import { warmUp } from '../instances/warmup.ts'
import { idOf } from '../linux/enclosure.ts'
import { describeExit } from '../linux/process.ts'
import { type Listener, maxAlive } from '../strategies/steering.ts'
import { triedAtOnce } from './clean-up.ts'
import { declare } from './declare.ts'
import { type ReleaseSetup, setupOf } from './instance-spec.ts'
import { keyOf, type Node, now, type Running, refOf, runningOf } from './node.ts'
import { alsoListening, requireFree, requireNoOverlap } from './ports.ts'
import { requireOwnNetwork, requireServed } from './reach.ts'
import { untilRoom } from './settle.ts'
import type { Steps } from './steps.ts'
import { supervisorOf } from './supervise.ts'
import { takeDown } from './take-down.ts'
import { severalUsers, untilTurn } from './users.ts'
import { opensItself, requireSameWay, untilAccepted } from './way.ts'

export interface BringUp {
  readonly app: AppName
  readonly release: ReleaseNumber
  readonly steps: Steps
  readonly signal: AbortSignal
}

export interface Proven {
  readonly running: Running
  /** Milliseconds from its start until it was ready. */
  readonly readyMs: number
  /** It was found to speak HTTP; null if nobody asked. */
  readonly http: boolean | null
  /**
   * To be called in the last moment before traffic comes.
   * @throws CutoverError `failed` if a process of it has ended, or if it does not listen any more
   */
  requireSound(): void
}

/** How often the kernel's map is read while a candidate starts: a read takes a microsecond, and it ends with the start. */
const lookMs = 10

/**
 * Starts the release and proves it ready within its `deploy_timeout`. It stays dark; a candidate walks through its states.
 * @throws CutoverError `failed` with what it did instead; then nothing of it runs
 */
export async function bringUp(node: Node, { app: name, release, steps, signal }: BringUp): Promise<Proven> {
  const setup = setupOf(node, name, release)
  if (await untilRoom(node, name, signal))
    steps.warn(`${maxAlive} releases of ${name} were running, which is as many as can: waited for one to retire`)
  const users = severalUsers(node, name, setup.owner)
  if (users !== null) steps.warn(users)
  requireSameWay(node, name, setup.config)
  // The first release of a node has to wait for the kernel's part: not at the expense of its time to start.
  if (!inherits(setup.config)) node.steer()
  const began = performance.now()
  const broken = new AbortController()
  const late = AbortSignal.timeout(setup.config.deployTimeoutMs)
  const over = AbortSignal.any([signal, broken.signal, late])
  try {
    advance(node, name, release, 'begin')
    const { running, listeners } = await steps.run('start', setup.config.run.join(' '), async () => {
      const running = await launch(node, name, release, setup, { broken, over })
      const listeners = await untilListening(node, running, over)
      await requireNoOverlap(node, name, setup.config, listeners)
      requireServed(setup.config, listeners)
      return { running, listeners, text: startedText(running, listeners) }
    })
    advance(node, name, release, 'warm')
    const asked = listenerAsked(running, listeners)
    const expectHttp = node.store.apps.get(name).http
    const connect = () => connectionTo(node, running, asked)
    const { http } = await steps.run('healthy', 'health', () =>
      prove(node, setup, expectHttp, connect, asked.port, over),
    )
    if (setup.config.warmup.length > 0) {
      await steps.run('warmup', 'warmup', () =>
        warmUp({ requests: setup.config.warmup, connect, host: hostOf(setup.config.health, asked.port), signal: over }),
      )
    }
    await untilListening(node, running, over)
    node.steering().park(running.ref.app)
    advance(node, name, release, 'ready')
    const requireSound = () => {
      broken.signal.throwIfAborted()
      const { missing } = listening(node, running)
      if (missing.length > 0) throw failure(`it stopped listening on ${missing.join(', ')}`)
    }
    return { running, readyMs: performance.now() - began, http, requireSound }
  } catch (error) {
    // Why a process ended counts for more than what the waiting for it said.
    const reason = broken.signal.aborted ? broken.signal.reason : withWhatItOpened(node, name, release, error)
    await takeDown(node, name, release)
    throw reason
  }
}

/** What most likely keeps a program from answering that was given its socket and opened another one. */
function withWhatItOpened(node: Node, name: AppName, release: ReleaseNumber, error: unknown): unknown {
  const running = runningOf(node, name, release)
  const own = running === null ? '' : opensItself(node, running)
  return own === '' || !(error instanceof CutoverError)
    ? error
    : failure(`${error.message}${own}`, { cause: error.cause })
}

/** A candidate takes the next step; a release that is started again while it is recorded as active has none. */
function advance(node: Node, name: AppName, release: ReleaseNumber, type: 'begin' | 'warm' | 'ready'): void {
  const state = node.store.apps.state(name).releases.find(({ number }) => number === release)?.state
  if (state === undefined || state === 'active') return
  if (type === 'begin' || isCandidate(state)) node.store.apps.change(name, { type, release, at: now() })
}

async function launch(
  node: Node,
  name: AppName,
  release: ReleaseNumber,
  { config, owner, cgroup, spec }: ReleaseSetup,
  { broken, over }: { readonly broken: AbortController; readonly over: AbortSignal },
): Promise<Running> {
  const app = node.store.apps.get(name)
  const steering = node.steering()
  const ref = refOf(app, release)
  const ports = config.ports.map(({ port }) => port)
  await requireFree(node, config)
  await untilTurn(node, name, release, over)
  declare(node, name, config)
  node.cgroups.create(cgroup)
  steering.addRelease(ref, cgroup, config.ports)
  const supervisor = supervisorOf(node, name, release)
  const instance = await node.instances.start(spec, (event) => {
    if (event.type === 'exit' && !broken.signal.aborted) {
      let others = ''
      triedAtOnce(node, 'look who else listens', () => {
        others = alsoListening(node, name, ports)
      })
      broken.abort(failure(`pid ${event.pid} ${describeExit(event.status)}${others}`))
    }
    supervisor(event)
  })
  const running: Running = { app: name, release, ref, cgroup, config, owner, instance }
  node.running.set(keyOf(name, release), running)
  node.store.apps.keepWorkers(name, release, instance.workers())
  return running
}

async function untilListening(node: Node, running: Running, over: AbortSignal): Promise<Listener[]> {
  for (;;) {
    const { listeners, missing } = listening(node, running)
    if (missing.length === 0) return listeners
    requireOwnNetwork(running, missing)
    if (over.aborted) throw notListening(missing, listeners, over)
    await sleep(lookMs, undefined, { signal: over }).catch(() => {})
  }
}

/** Every worker has to listen on every declared port: `missing` are those of which one does not. A dead process listens on none. */
function listening(node: Node, { ref, cgroup, config, instance }: Running) {
  const workers = instance.workers().map(({ worker }) => idOf(`${cgroup}/w${worker}`))
  const listeners = node.steering().listeners(ref)
  const missing = config.ports
    .map(({ port }) => port)
    .filter((port) =>
      workers.some((id) => !listeners.some((one) => one.port === port && (one.worker === id || one.worker === null))),
    )
  return { listeners, missing }
}

function notListening(missing: readonly number[], listeners: readonly Listener[], over: AbortSignal): unknown {
  if (!isTimeout(over.reason)) return over.reason
  const found = [...new Set(listeners.map(({ port }) => port))]
  const instead = found.length === 0 ? 'on no fixed port at all' : `on ${found.join(', ')}`
  return failure(`nothing listens on ${missing.join(', ')} (it listens ${instead})`, { cause: over.reason })
}

async function prove(
  node: Node,
  { config, directory, environment, spec, cgroup }: ReleaseSetup,
  expectHttp: boolean,
  connect: () => Promise<Socket>,
  port: number,
  over: AbortSignal,
) {
  return await untilHealthy({
    check: config.health,
    connect,
    port,
    expectHttp,
    run: async (command, signal) =>
      await node.commands.run({
        command,
        directory,
        environment: await environment(),
        user: spec.user,
        cgroup: `${cgroup}/health`,
        logFile: spec.logFile,
        signal,
      }),
    signal: over,
  })
}

/** One that the release has: a socket that it was given listens before anybody accepts. */
async function connectionTo(node: Node, { ref, config }: Running, asked: Listener): Promise<Socket> {
  const socket = node.steering().probe(ref, asked)
  const { kind, timeoutMs } = config.health
  return inherits(config) && kind === 'tcp' ? await untilAccepted(socket, timeoutMs) : socket
}

/** The first declared port is asked. */
function listenerAsked({ config }: Running, listeners: readonly Listener[]): Listener {
  const asked = listeners.find(({ port }) => port === config.ports[0]?.port)
  if (asked === undefined) throw failure('it stopped listening')
  return asked
}

function startedText({ instance, config }: Running, listeners: readonly Listener[]): string {
  const pids = instance.workers().flatMap(({ identity }) => identity?.pid ?? [])
  const many = pids.length > 1
  const who = many ? `pids ${pids.join(', ')}` : `pid ${pids[0] ?? '?'}`
  const elsewhere = config.ports.flatMap(({ address, port }) => (address === null ? [] : endpointText(address, port)))
  const reached = elsewhere.length === 0 ? '' : `, reached at ${elsewhere.join(', ')}`
  if (inherits(config)) return `${who} ${many ? 'were' : 'was'} given ${standingText(listeners)}${reached}`
  return `${who} ${many ? 'listen' : 'listens'} on ${standingText(listeners)}${reached}`
}

/** `AbortSignal.timeout` ends with a DOMException of this name. */
const isTimeout = (reason: unknown): boolean => reason instanceof DOMException && reason.name === 'TimeoutError'

/** Whether a failure of the bring-up means that `deploy_timeout` was over. */
export const ranOutOfTime = (error: unknown): boolean => error instanceof Error && isTimeout(error.cause)
