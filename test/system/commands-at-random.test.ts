/** Four people at work on the same two apps, none of whom knows of the others, while the daemon comes and goes. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { CutoverError } from '../../src/core/errors.ts'
import { type Draw, drawFrom } from '../soak/draw.ts'
import { ask } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { goodServer, lightLoad, shopFolder } from '../support/shop.ts'
import { contradictionsIn, disagreements } from '../support/truth.ts'

const seed = Number(process.env.COMMANDS_SEED ?? Date.now() % 1_000_000)
const commands = 200
const clients = 4

const ports = { steady: 8081, wild: 8080 } as const
type App = keyof typeof ports

/** What can be wrong with a release, each a folder. */
const servers = {
  good: goodServer,
  exits: 'process.exit(3)',
  silent: 'setInterval(() => {}, 1000)',
  sick: goodServer.replace('response.end', '(response.statusCode = 500) && response.end'),
} as const

test(`${commands} commands at random from ${clients} clients leave nothing undecided (COMMANDS_SEED=${seed})`, {
  skip: asRoot,
}, async (t) => {
  const node = await startNode(t)
  const folders = foldersFor(t)
  const { home } = node.place
  // Those of the folders may fail for want of time.
  for (const app of ['steady', 'wild'] as const) await node.deploy(folderOf(t, app, '', goodServer))
  await using load = await lightLoad(ports.steady)

  const done: string[] = []
  let left = commands
  const client = async (draw: Draw) => {
    let highest = 0
    while (left-- > 0) {
      const { args, allowed, interruptMs } = drawn(draw, folders)
      const meanwhile = (child: ChildProcess) => void interruptAfter(child, interruptMs)
      if (args[0] === 'kill') await kill(node)
      else {
        const { code, stdout, stderr } = await cutover(args, { home, meanwhile })
        const what = `cutover ${args.join(' ')}${interruptMs === null ? '' : `, Ctrl-C after ${interruptMs} ms`}`
        done.push(`${what}: ${code}`)
        // A Ctrl-C that comes while Node itself starts ends it as any program.
        const expected: readonly (number | null)[] = interruptMs === null ? allowed : [...allowed, 130, null]
        assert.ok(expected.includes(code), `${what}: ${code}\n${stderr}`)
        assert.doesNotMatch(stderr, /Cutover itself failed/, what)
        if (interruptMs === null || stdout !== '') assert.equal(JSON.parse(stdout).schema, 1, what)
      }
      const status = await statusOf(node)
      assert.deepEqual(contradictionsIn(status), [], done.slice(-20).join('\n'))
      const steady = status.apps.find(({ app }) => app === 'steady')
      assert.notEqual(steady?.active ?? null, null, 'steady is live')
      const newest = Math.max(...(steady?.releases ?? []).map(({ release }) => release))
      assert.ok(newest >= highest, 'numbers only grow')
      highest = newest
    }
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: clients }, (_, index) => client(drawFrom((seed + index) * 2_654_435_761))))
  const codes = Map.groupBy(done, (one) => one.split(': ').at(-1))
  t.diagnostic(
    `${((performance.now() - began) / 1000).toFixed(0)} s; exit codes: ${[...codes].map(([code, of]) => `${code}: ${of.length}`).join(', ')}`,
  )

  const status = await atRest(node)
  assert.deepEqual(disagreements(node, status), [], done.join('\n'))
  for (const { app, active, stopped } of status.apps) {
    const served = await ask('/', ports[app as App]).then(
      (answer) => answer.split(' ')[0],
      () => null,
    )
    assert.equal(served, stopped || active === null ? null : `v${active}`, app)
  }
  assertNoneLost(await load.stop())
})

interface Drawn {
  readonly args: readonly string[]
  readonly allowed: readonly number[]
  /** When the client gets its Ctrl-C; null: never. */
  readonly interruptMs: number | null
}

/** 6: the daemon was killed meanwhile. 3: it was ended meanwhile. */
const away = [3, 6]

function drawn(draw: Draw, folders: Folders): Drawn {
  const app: App = draw.chance(0.5) ? 'steady' : 'wild'
  const interruptMs = draw.chance(0.25) ? Math.floor(draw.below(1500)) : null
  const change = (...args: string[]): Drawn => ({
    args: [...args, '--json'],
    allowed: [0, 1, 4, ...away],
    interruptMs: null,
  })
  const look = (...args: string[]): Drawn => ({
    args: [...args, '--json'],
    allowed: [0, 4, ...away],
    interruptMs: null,
  })
  const release = `v${1 + Math.floor(draw.below(12))}`
  const kind = draw.weighted({
    ...{ good: 5, exits: 1, silent: 0.5, sick: 1, rollback: 2, to: 3, stop: 1, start: 2, remove: 1 },
    ...{ end: 1, kill: 1, status: 1, history: 1, logs: 1 },
  })
  switch (kind) {
    case 'good':
    case 'exits':
    case 'silent':
    case 'sick':
      return { ...change('deploy', folders[app][kind]), interruptMs }
    case 'rollback':
      return { ...change('rollback', app), interruptMs }
    case 'to':
      return { ...change('rollback', app, '--to', release), interruptMs }
    case 'stop':
    case 'start':
      return change(kind, 'wild', ...(kind === 'stop' ? ['--yes'] : []))
    case 'remove':
      return change('remove', 'wild', '--yes')
    case 'end':
      return look('daemon', 'stop')
    case 'kill':
      return { args: ['kill'], allowed: [], interruptMs: null }
    case 'status':
    case 'history':
    case 'logs':
      return look(kind, app)
  }
}

type Folders = Readonly<Record<App, Readonly<Record<keyof typeof servers, string>>>>

const folderOf = (t: TestContext, app: App, config: string, server: string): string =>
  shopFolder(t, {
    app,
    config: `port: ${ports[app]}\ndrain_timeout: 1s\n${config}`,
    server: server.replaceAll('8080', String(ports[app])),
  })

function foldersFor(t: TestContext): Folders {
  const of = (app: App, kind: keyof typeof servers) => folderOf(t, app, 'deploy_timeout: 3s', servers[kind])
  const all = (app: App) => ({
    good: of(app, 'good'),
    exits: of(app, 'exits'),
    silent: of(app, 'silent'),
    sick: of(app, 'sick'),
  })
  return { steady: all('steady'), wild: all('wild') }
}

async function interruptAfter(child: ChildProcess, ms: number | null): Promise<void> {
  if (ms === null) return
  await pause(ms)
  child.kill('SIGINT')
}

/** Whoever waits for a daemon that another client kills while it starts is told so. */
async function statusOf(node: TestNode) {
  for (let tries = 0; ; tries++) {
    try {
      return await node.client.status()
    } catch (error) {
      if (!(error instanceof CutoverError && error.kind === 'unreachable') || tries === 10) throw error
    }
  }
}

/** `kill -9` of the daemon, if there is one at this moment. */
async function kill(node: TestNode): Promise<void> {
  await node.killDaemon().catch(() => {})
}

/** Waits until nothing is under way. */
async function atRest(node: TestNode) {
  for (let tries = 0; tries < 600; tries++) {
    const status = await node.client.status()
    const busy = status.apps.some(
      ({ busy, active, stopped, releases }) =>
        busy !== null ||
        releases.some(
          ({ release, state, pids }) =>
            state === 'draining' || state === 'retiring' || (release === active && !stopped && pids.length === 0),
        ),
    )
    if (!busy) return status
    await pause(100)
  }
  throw new Error('the node did not come to rest within a minute')
}
