/** From the text of a `cutover.yaml` to a checked config, or to all that is wrong with it, each with its line. */
import type * as z from 'zod'
import type { AppConfig } from './app-config.ts'
import { type ConfigFile, configFile, mapsOfConfig, maxWorkers } from './config-schema.ts'
import { notBuilt, shown } from './config-values.ts'
import { type Path, readYaml, type YamlFile } from './config-yaml.ts'
import { type CutoverError, usageError } from './errors.ts'
import { nearest } from './nearest.ts'

/** The name of the config in the app's folder. */
export const configName = 'cutover.yaml'

/** How many bytes its text may have, far more than any needs: whoever reads one must not be kept busy by it. */
export const mostConfig = 65_536

/** As many problems are told at once. */
const mostProblems = 50

/** Keys below which everything is text, however YAML reads it. */
const texts: ReadonlySet<string> = new Set(['env', 'run', 'build', 'release', 'command', 'user'])

export interface Source {
  /** The name of the file, as problems name it. */
  readonly file: string
  /** The machine's cores, for `workers: max`. */
  readonly cores: number
}

/**
 * The config that the text says, with every default filled in.
 * @throws CutoverError `usage`; its details are all problems at once, as `cutover.yaml:7: …`
 */
export function parseConfig(text: string, { file, cores }: Source): AppConfig {
  if (text.length > mostConfig)
    throw unusable(file, [{ line: 1, message: `larger than ${mostConfig} bytes, which is the most` }])
  const yaml = readYaml(text, texts)
  if ('problems' in yaml) throw unusable(file, yaml.problems)
  const result = configFile.safeParse(yaml.value)
  const problems = [...(result.error ? flatten(result.error.issues) : []), ...betweenKeys(yaml.value)]
  if (!result.data || problems.length > 0)
    throw unusable(
      file,
      problems.slice(0, mostProblems).map((problem) => placed(yaml, problem)),
      problems.length,
    )
  return toConfig(result.data, cores)
}

/** What is wrong with the value at a path of the config. */
export interface Problem {
  readonly path: Path
  readonly message: string
}

/** The error for a config that is right by itself but cannot be on this node, with the line that says so. */
export function configProblem(text: string, file: string, problem: Problem): CutoverError {
  const yaml = readYaml(text, texts)
  return unusable(file, 'problems' in yaml ? yaml.problems : [placed(yaml, problem)])
}

type Issue = z.core.$ZodIssue

function toConfig(written: ConfigFile, cores: number): AppConfig {
  const { env_file: files, user, workers, port, ports } = written
  return {
    app: written.app,
    run: written.run,
    ports: ports ?? (port === undefined ? [] : [{ port, protocol: 'tcp', address: null }]),
    build: written.build ?? null,
    release: written.release ?? null,
    shared: written.shared,
    workers: workers === 'max' ? Math.min(cores, maxWorkers) : workers,
    env: written.env,
    envFiles: typeof files === 'string' ? [files] : (files ?? []),
    user: user === undefined || user === null ? null : String(user),
    strategy: written.strategy,
    exclusive: written.exclusive,
    bind: written.bind,
    health: written.health,
    warmup: written.warmup,
    deployTimeoutMs: written.deploy_timeout,
    drainTimeoutMs: written.drain_timeout,
    stop: written.stop_signal,
    stopTimeoutMs: written.stop_timeout,
    standbyKeep: written.standby.keep,
    holdMs: written.hold,
    retain: written.retain,
    logMaxBytes: written.logs.max,
    ignore: written.ignore,
  }
}

/** What a schema of single keys cannot see. */
function betweenKeys(value: unknown): readonly Problem[] {
  if (!isMap(value)) return []
  return [...ofStrategy(value), ...ofPorts(value)]
}

const ofStrategy = ({ strategy, exclusive, bind }: Readonly<Record<string, unknown>>): readonly Problem[] => [
  ...(exclusive === true && (strategy === 'steer' || strategy === 'share')
    ? [
        {
          path: ['exclusive'],
          message: `${strategy} runs two releases at once; write strategy: stop-start, or leave it out`,
        },
      ]
    : []),
  ...(strategy === 'steer' && bind === 'inherit'
    ? [{ path: ['bind'], message: 'with steer an app opens its port itself; write strategy: share, or leave it out' }]
    : []),
]

function ofPorts({ port, ports }: Readonly<Record<string, unknown>>): readonly Problem[] {
  if (port === undefined && ports === undefined) return [{ path: ['port'], message: 'missing, expected port or ports' }]
  if (port !== undefined && ports !== undefined)
    return [{ path: ['ports'], message: 'port says it already; keep one of the two' }]
  if (!Array.isArray(ports)) return []
  const numbers = ports.map((entry: unknown) => (isMap(entry) ? entry.port : undefined))
  return numbers.flatMap((number, index) =>
    typeof number === 'number' && numbers.indexOf(number) < index
      ? [{ path: ['ports', index, 'port'], message: `${number} is listed twice` }]
      : [],
  )
}

/** The schema's issues as problems, one for each key that is unknown, and those of a choice as the choice that was meant has them. */
function flatten(issues: readonly Issue[], base: Path = []): readonly Problem[] {
  return issues.flatMap((issue): readonly Problem[] => {
    const path = [...base, ...issue.path]
    switch (issue.code) {
      case 'unrecognized_keys':
        return issue.keys.map((key) => ({ path: [...path, key], message: unknownKey(path, key) }))
      case 'invalid_key':
        return [{ path, message: issue.issues[0]?.message ?? issue.message }]
      case 'invalid_union': {
        // A choice that failed below itself was meant: its kind was right.
        const meant = issue.errors.filter((branch) => !branch.some(isWrongKind))
        return meant.length === 1 ? flatten(meant[0] ?? [], path) : [{ path, message: issue.message }]
      }
      default:
        return [{ path, message: issue.message }]
    }
  })
}

const isWrongKind = ({ code, path }: Issue): boolean =>
  path.length === 0 && (code === 'invalid_type' || code === 'invalid_value' || code === 'invalid_union')

function unknownKey(path: Path, key: string): string {
  const { built, later } =
    mapsOfConfig[path.map((part) => (typeof part === 'number' ? '*' : String(part))).join('.')] ?? none
  if (later.includes(key)) return `${notBuilt('this key')}; leave it out`
  const near = nearest(key, [...built, ...later])
  return `unknown key; ${near ? `did you mean ${near}?` : `possible: ${built.join(', ')}`}`
}

const none = { built: [], later: [] }

const placed = (yaml: YamlFile, { path, message }: Problem) => ({
  line: yaml.lineOf(path),
  message: path.length > 0 ? `${spoken(path)}: ${message}` : message,
})

/** `ports[0].port`; a key that is no plain word in quotes. */
const spoken = (path: Path): string =>
  path.reduce<string>((before, part) => {
    if (typeof part === 'number') return `${before}[${part}]`
    const key = /^[\w-]{1,60}$/.test(String(part)) ? String(part) : shown(part)
    return before ? `${before}.${key}` : key
  }, '')

/** @param found - how many there are, if these are not all */
function unusable(
  file: string,
  problems: readonly { readonly line: number; readonly message: string }[],
  found = problems.length,
) {
  const shown = problems.slice(0, mostProblems)
  const byLine = shown.toSorted((a, b) => a.line - b.line)
  const details = [...new Set(byLine.map(({ line, message }) => `${file}:${line}: ${message}`))]
  const more = found - shown.length
  const count = details.length === 1 ? 'a problem' : `${details.length + more} problems`
  return usageError(
    `${file} has ${count}. Nothing was started.`,
    more > 0 ? [...details, `… and ${more} more`] : details,
  )
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
