/** What a `cutover.yaml` may hold: its keys, their defaults, and the same as a JSON Schema for editors. */
import * as z from 'zod'
import type { HealthCheck } from './app-config.ts'
import {
  address,
  choice,
  command,
  duration,
  expected,
  insidePath,
  integer,
  line,
  scalar,
  size,
  stopSignal,
  text,
} from './config-values.ts'

/** Most ports of one app, and most workers of one release: the sizes of the kernel's maps. */
const maxPorts = 16
export const maxWorkers = 64

/** How many releases may stand by: of the eight that may be alive, some are active, starting or ending. */
const maxStandby = 4

const port = () => integer(1, 65_535)

const portEntry = z.strictObject(
  {
    port: port(),
    protocol: choice(['tcp'], ['udp']).default('tcp'),
    address: address()
      .optional()
      .transform((written) => written ?? null)
      .describe('Where it is to be reached instead of where the app listens: any, or an IP address.'),
  },
  { error: expected('a map like {port: 8080}') },
)

const healthMap = z
  .strictObject(
    {
      path: text(/^\/[!-~]*$/, 'a path like /up').optional(),
      host: text(/^[!-~]+$/, 'the name of a host').optional(),
      status: integer(100, 599).optional(),
      tcp: z.literal(true, { error: expected('true') }).optional(),
      command: command().optional(),
      interval: duration({ atLeast: 10 }).prefault('1s'),
      timeout: duration({ atLeast: 1 }).prefault('2s'),
      healthy: integer(1, 100).default(2),
      unhealthy: integer(1, 100).default(3),
    },
    { error: expected('auto, or a map like {path: /up}') },
  )
  .transform((written, context): HealthCheck => {
    const { path, host, status, tcp, command, interval: intervalMs, timeout: timeoutMs, healthy, unhealthy } = written
    const rhythm = { intervalMs, timeoutMs, healthy, unhealthy }
    const asksHttp = path !== undefined || host !== undefined || status !== undefined
    if ([asksHttp, tcp, command].filter(Boolean).length > 1) {
      context.issues.push({ code: 'custom', input: written, message: 'only one of path, tcp and command can be asked' })
      return z.NEVER
    }
    if (command) return { kind: 'command', command, ...rhythm }
    if (tcp) return { kind: 'tcp', ...rhythm }
    if (asksHttp) return { kind: 'http', path: path ?? '/', host: host ?? null, status: status ?? null, ...rhythm }
    return { kind: 'auto', ...rhythm }
  })

const health = z.union(
  [z.literal('auto', { error: expected('auto') }).transform(() => healthMap.parse({})), healthMap],
  { error: expected('auto, or a map like {path: /up}') },
)

const warmupEntry = z.strictObject(
  { path: text(/^\/[!-~]*$/, 'a path like /'), times: integer(1, 10_000).default(1) },
  { error: expected('a map like {path: /, times: 10}') },
)

const standby = z.strictObject(
  { keep: integer(0, maxStandby).default(1), mode: choice(['awake'], ['asleep', 'stopped']).default('awake') },
  { error: expected('a map like {keep: 1}') },
)

const logs = z.strictObject(
  { max: size({ atLeast: 1_000_000, spoken: '1MB' }).prefault('100MB') },
  { error: expected('a map like {max: 100MB}') },
)

const envName = z.string().regex(/^(?!PORT$|CUTOVER_)[A-Za-z_][A-Za-z0-9_]*$/, {
  error: ({ input }) =>
    /^(PORT$|CUTOVER_)/.test(String(input))
      ? 'set by Cutover itself'
      : 'no name of a variable: those have letters, digits and _ only, and no digit first',
})

const listOf = <Entry extends z.ZodType>(entry: Entry, what: string) => z.array(entry, { error: expected(what) })

/** The keys in the order of the documentation. `ports` and `port` exclude each other, which {@link ./config.ts} looks after. */
const keys = {
  app: text(/^[a-z0-9-]{1,40}$/, 'a name like shop: a to z, 0 to 9 and -, at most 40').describe('The name of the app.'),
  run: command().describe('The server: a command without a shell, as text or as a list of words.'),
  port: port().optional().describe('Its public TCP port.'),
  ports: listOf(portEntry, 'a list like [{port: 8080}, {port: 8443}]')
    .min(1, { error: 'expected at least one port' })
    .max(maxPorts, { error: `expected at most ${maxPorts} ports` })
    .optional()
    .describe('Its public TCP ports; the first is asked for health.'),
  build: command().nullish().describe("A command run in the release's directory before it starts."),
  release: command().nullish().describe('A command run once per release, after build: a database migration.'),
  shared: listOf(insidePath(), 'a list of paths, like [uploads]')
    .default([])
    .describe('Paths that outlive releases and are linked into each one.'),
  workers: z
    .union([integer(1, maxWorkers), z.literal('max')], {
      error: expected(`a whole number from 1 to ${maxWorkers}, or max`),
    })
    .default(1)
    .describe('Processes per release; max: one per core.'),
  env: z
    .record(envName, scalar('text; write "" for empty text'), { error: expected('a map like {NAME: value}') })
    .default({})
    .describe('Variables of its environment. PORT is always set.'),
  env_file: z
    .union([line('a path'), listOf(line('a path'), 'a path or a list of paths')], {
      error: expected('a path or a list of paths'),
    })
    .nullish()
    .describe('One or several files with variables, read at deploy time.'),
  user: z
    .union([text(/^[^\0\s:]+$/, 'the name of a user'), z.number().int().min(0)], {
      error: expected('the name of a user, or its number'),
    })
    .nullish()
    .describe("Runs everything of the app; left out: the owner of the app's folder."),
  strategy: choice(['auto', 'steer', 'share', 'stop-start'], ['late-bind', 'balancer', 'tomcat'])
    .default('auto')
    .describe('How traffic moves from one release to the next.'),
  exclusive: z
    .boolean({ error: expected('true or false') })
    .default(false)
    .describe('The app must never run twice at once: auto then takes stop-start.'),
  bind: choice(['auto', 'inherit'], ['intercept'])
    .default('auto')
    .describe('How the release gets its port. inherit: its program is given the listening socket (LISTEN_FDS).'),
  health: health.prefault('auto').describe('What healthy means: auto, {path: /up}, {tcp: true} or {command: "…"}.'),
  warmup: listOf(warmupEntry, 'a list like [{path: /, times: 10}]')
    .default([])
    .describe('Requests sent before the cutover.'),
  deploy_timeout: duration({ atLeast: 1 })
    .prefault('30s')
    .describe('From start to ready; build and release are not counted.'),
  drain_timeout: duration().prefault('30s').describe('How long a release that has to end waits for its connections.'),
  stop_signal: stopSignal()
    .prefault('TERM')
    .describe('How its processes are asked to end: TERM, or [QUIT, 10s, TERM].'),
  stop_timeout: duration().prefault('10s').describe('How long they have after the last signal; then SIGKILL.'),
  standby: standby.prefault({}).describe('What is kept ready to take over again.'),
  hold: duration()
    .prefault('5s')
    .describe('How long new connections wait while nothing can serve them. 0s: they are refused.'),
  retain: integer(1, 1000).default(5).describe('Releases that were live once and are kept on disk.'),
  logs: logs.prefault({}).describe('How much of its log each release keeps on the disk: the newest part.'),
  ignore: listOf(line('a path or pattern'), 'a list of paths, like [tmp, "*.log"]')
    .default([])
    .describe('Paths left out of the release, as in a .gitignore.'),
}

export const configFile = z.strictObject(keys, { error: expected('keys like app, run and port') })

export type ConfigFile = z.output<typeof configFile>

const pattern = (shape: object): readonly string[] => Object.keys(shape)

/** The keys of each map of a config that are built, and those of the contract that are not, by the map's path (`*` for any entry). */
export const mapsOfConfig: Readonly<
  Record<string, { readonly built: readonly string[]; readonly later: readonly string[] }>
> = {
  '': {
    built: pattern(keys),
    later: ['processes', 'linger', 'bake', 'failover', 'canary'],
  },
  'ports.*': { built: pattern(portEntry.shape), later: [] },
  health: { built: pattern(healthMap.in.shape), later: [] },
  'warmup.*': { built: pattern(warmupEntry.shape), later: [] },
  logs: { built: pattern(logs.shape), later: [] },
  standby: { built: pattern(standby.shape), later: ['sleep_after', 'rehearse_every'] },
}

/** The JSON Schema of a config, for editors. */
export function configSchema(): object {
  const schema = z.toJSONSchema(configFile, {
    io: 'input',
    override: ({ jsonSchema }) => {
      if (jsonSchema.additionalProperties === false) jsonSchema.patternProperties = { '^x-': {} }
    },
  })
  return {
    ...schema,
    title: 'cutover.yaml',
    description: 'How Cutover runs an app and puts a new release of it live.',
    oneOf: [{ required: ['port'] }, { required: ['ports'] }],
  }
}
