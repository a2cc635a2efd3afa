import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { stringify } from 'yaml'
import type { AppConfig } from '../../src/core/app-config.ts'
import { parseConfig } from '../../src/core/config.ts'
import { writtenConfig } from '../../src/core/config-written.ts'
import { CutoverError } from '../../src/core/errors.ts'
import { decide, strategyOf } from '../../src/core/strategy.ts'

const least = 'app: shop\nrun: node server.js\nport: 8080\n'

/** The same in so many words, as `cutover config` shows it. */
const written = (config: AppConfig): string => stringify(writtenConfig(config))

test('what a config means can be written as one that means the same, but for the values of its env', () => {
  for (const text of [
    least,
    `${least}health: {path: /up, host: shop, status: 204, interval: 500ms}\nstop_signal: [QUIT, 10s, TERM]\nhold: 0s\nlogs: {max: 1234.567MB}\n`,
    `${least.replace('port: 8080', 'ports: [{port: 80, address: any}, {port: 81, address: 127.0.0.1}]')}health: {tcp: true}\nuser: 1000\n`,
    `${least}health: {command: "test -e ok"}\nwarmup: [{path: /, times: 3}]\nbuild: npm ci\nenv_file: .env\nshared: [a/]\nignore: [b]\n`,
  ])
    assert.deepEqual(parse(written(parse(text))), parse(text), text)
  const shown = written(parse(`${least}env: {TOKEN: 'a secret', SIZE: 5}\n`))
  assert.match(shown, /env:\n {2}TOKEN: \(hidden\)\n {2}SIZE: \(hidden\)/)
  assert.doesNotMatch(shown, /a secret/)
})

const parse = (text: string) => parseConfig(text, { file: 'cutover.yaml', cores: 2 })

/** What is wrong with the text, without the file's name. */
function problems(text: string): readonly string[] {
  try {
    parse(text)
  } catch (error) {
    if (!(error instanceof CutoverError)) throw error
    assert.equal(error.kind, 'usage')
    return error.details.map((detail) => detail.replace(/^cutover\.yaml:/, ''))
  }
  assert.fail(`nothing is wrong with:\n${text}`)
}

test('app, run and port are enough, and all else has the defaults of the contract', () => {
  assert.deepEqual(parse(least), {
    app: 'shop',
    run: ['node', 'server.js'],
    ports: [{ port: 8080, protocol: 'tcp', address: null }],
    build: null,
    release: null,
    shared: [],
    workers: 1,
    env: {},
    envFiles: [],
    user: null,
    strategy: 'auto',
    exclusive: false,
    bind: 'auto',
    health: { kind: 'auto', intervalMs: 1000, timeoutMs: 2000, healthy: 2, unhealthy: 3 },
    warmup: [],
    deployTimeoutMs: 30_000,
    drainTimeoutMs: 30_000,
    stop: [{ signal: 'SIGTERM', waitMs: 0 }],
    stopTimeoutMs: 10_000,
    standbyKeep: 1,
    holdMs: 5000,
    retain: 5,
    logMaxBytes: 100_000_000,
    ignore: [],
  })
})

test('everything that is built can be said', () => {
  const config = parse(`
app: shop
run: [gunicorn, -w, 4, app:main]
ports: [{port: 443, protocol: tcp}, {port: 80}]
build: sh -c "npm ci && npm run build"
release: npm run 'migrate all'
shared: [uploads, data/db.sqlite]
workers: max
env: {DEBUG: true, VERSION: 1.10, MODE: 0755, TEXT: ""}
env_file: [.env, /etc/shop.env]
user: 1000
strategy: steer
bind: auto
health: {path: /up, host: shop.example, status: 204, interval: 500ms, timeout: 1s, healthy: 3, unhealthy: 5}
warmup: [{path: /, times: 10}, {path: /cart}]
deploy_timeout: 2m
drain_timeout: 1h
stop_signal: [QUIT, 10s, SIGTERM, KILL]
stop_timeout: 0s
standby: {keep: 2, mode: awake}
hold: 0s
retain: 9
logs: {max: 1.5GB}
ignore: [tmp, '*.log']
x-mine: {anything: [goes]}
`)
  assert.deepEqual(config.run, ['gunicorn', '-w', '4', 'app:main'])
  assert.deepEqual(
    config.ports.map(({ port }) => port),
    [443, 80],
  )
  assert.deepEqual(config.build, ['sh', '-c', 'npm ci && npm run build'])
  assert.deepEqual(config.release, ['npm', 'run', 'migrate all'])
  assert.equal(config.workers, 2)
  assert.equal(config.logMaxBytes, 1_500_000_000)
  assert.deepEqual(config.env, { DEBUG: 'true', VERSION: '1.10', MODE: '0755', TEXT: '' })
  assert.deepEqual(config.envFiles, ['.env', '/etc/shop.env'])
  assert.equal(config.user, '1000')
  assert.deepEqual(config.health, {
    kind: 'http',
    path: '/up',
    host: 'shop.example',
    status: 204,
    intervalMs: 500,
    timeoutMs: 1000,
    healthy: 3,
    unhealthy: 5,
  })
  assert.deepEqual(config.warmup, [
    { path: '/', times: 10 },
    { path: '/cart', times: 1 },
  ])
  assert.deepEqual([config.deployTimeoutMs, config.drainTimeoutMs, config.holdMs], [120_000, 3_600_000, 0])
  assert.deepEqual(config.stop, [
    { signal: 'SIGQUIT', waitMs: 10_000 },
    { signal: 'SIGTERM', waitMs: 0 },
    { signal: 'SIGKILL', waitMs: 0 },
  ])
})

test('health can be HTTP, TCP or a command', () => {
  const kind = (health: string) => parse(`${least}health: ${health}`).health
  assert.equal(kind('auto').kind, 'auto')
  assert.equal(kind('{interval: 2s}').intervalMs, 2000)
  assert.equal(kind('{tcp: true}').kind, 'tcp')
  assert.deepEqual(kind('{command: "pg_isready -q"}'), {
    kind: 'command',
    command: ['pg_isready', '-q'],
    intervalMs: 1000,
    timeoutMs: 2000,
    healthy: 2,
    unhealthy: 3,
  })
  assert.deepEqual(problems(`${least}health: {tcp: true, path: /}`), [
    '4: health: only one of path, tcp and command can be asked',
  ])
  assert.deepEqual(problems(`${least}health: {path: up}`), ['4: health.path: expected a path like /up, not "up"'])
  assert.deepEqual(problems(`${least}health: {path: "/ HTTP/1.1\\r\\nHost: x"}`).length, 1)
})

test('keys written down empty count as left out where the contract shows them so', () => {
  const config = parse(`${least}build:\nrelease:\nenv_file:\nuser:\n`)
  assert.deepEqual([config.build, config.release, config.envFiles, config.user], [null, null, [], null])
})

test('an unknown key is refused with its line and the nearest known one', () => {
  assert.deepEqual(problems(`${least}\nbuidl: make`), ['5: buidl: unknown key; did you mean build?'])
  assert.deepEqual(problems(`${least}standby:\n  kep: 1`), ['5: standby.kep: unknown key; did you mean keep?'])
  assert.match(problems(`${least}banana: 1`).join(), /^4: banana: unknown key; possible: app, run, port, /)
})

test('what the contract has and is not built yet is refused as that, even where it says what would be so anyway', () => {
  const later = [
    'processes: {}',
    'linger:',
    'bake: {for: 60s}',
    'failover: never',
    'canary: 10%',
    'standby: {sleep_after: 1m}',
    'standby: {rehearse_every: 15m}',
    'standby: {mode: asleep}',
    'standby: {mode: stopped}',
    'strategy: late-bind',
    'strategy: balancer',
    'strategy: tomcat',
    'bind: intercept',
    'bind: intercept',
  ]
  for (const written of later) {
    const [problem, ...more] = problems(least + written)
    assert.match(problem ?? '', /^4: .*not built yet/, written)
    assert.deepEqual(more, [])
  }
  const ports = 'app: shop\nrun: x\nports:\n  - port: 53\n    protocol: udp'
  assert.deepEqual(problems(ports), ['5: ports[0].protocol: udp is not built yet; possible now: tcp'])
})

test('an app that must never run twice is stopped before it is started, unless the config says another thing', () => {
  assert.equal(strategyOf(parse(least)), 'steer')
  assert.equal(strategyOf(parse(`${least}exclusive: true\n`)), 'stop-start')
  assert.equal(strategyOf(parse(`${least}strategy: stop-start\n`)), 'stop-start')
  assert.match(problems(`${least}strategy: steer\nexclusive: true\n`)[0] ?? '', /^5: exclusive: steer runs two/)
})

test('all problems are told at once, each with its line and what was expected', () => {
  const text = `app: Shop
run: node && echo
port: 70000
drain_timeout: 30
env:
  PORT: 1
  CUTOVER_RELEASE: v1
  a-b: c
  EMPTY:
warmup:
  - /
retain: 0
workers: none
shared: [../other, /etc]
stop_signal: [10s, TERM]
logs: {max: 100 MB}
`
  assert.deepEqual(problems(text), [
    '1: app: expected a name like shop: a to z, 0 to 9 and -, at most 40, not "Shop"',
    '2: run: && means something to a shell only, and there is none here: quote it, or write sh -c "…"',
    '3: port: expected a whole number from 1 to 65535, not 70000',
    '4: drain_timeout: expected a duration like 500ms, 30s, 10m or 2h, not 30',
    '6: env.PORT: set by Cutover itself',
    '7: env.CUTOVER_RELEASE: set by Cutover itself',
    '8: env.a-b: no name of a variable: those have letters, digits and _ only, and no digit first',
    '9: env.EMPTY: expected text; write "" for empty text, not nothing',
    '11: warmup[0]: expected a map like {path: /, times: 10}, not "/"',
    '12: retain: expected a whole number from 1 to 1000, not 0',
    '13: workers: expected a whole number from 1 to 64, or max, not "none"',
    `14: shared[0]: expected a path inside the app's folder, like uploads, not "../other"`,
    `14: shared[1]: expected a path inside the app's folder, like uploads, not "/etc"`,
    '15: stop_signal: each wait has to follow a signal',
    '16: logs.max: expected a size like 512KB, 100MB or 2GB, not "100 MB"',
  ])
})

test('the log of a release has room for something', () => {
  assert.deepEqual(problems(`${least}logs: {max: 999KB}`), ['4: logs.max: expected at least 1MB, not 999KB'])
  assert.equal(parse(`${least}logs: {max: 1MB}`).logMaxBytes, 1_000_000)
  assert.deepEqual(problems(`${least}logs: 1MB`), ['4: logs: expected a map like {max: 100MB}, not "1MB"'])
})

test('a port may say at which address it is to be reached', () => {
  const address = (written: string) =>
    parse(`app: a\nrun: b\nports: [{port: 80, address: ${written}}]`).ports[0]?.address
  assert.deepEqual(['any', '"::"', '0.0.0.0', '127.0.0.1', '::1', '2001:DB8::0:1', '"::ffff:10.0.0.1"'].map(address), [
    '::',
    '::',
    '0.0.0.0',
    '127.0.0.1',
    '::1',
    '2001:db8::1',
    '10.0.0.1',
  ])
  for (const written of ['localhost', '10.0.0', '1', '"::1%lo"', '""'])
    assert.match(
      problems(`app: a\nrun: b\nports: [{port: 80, address: ${written}}]`).join(),
      /^3: ports\[0\]\.address: expected any, or an IP address like 127\.0\.0\.1 or ::1, not /,
    )
  for (const written of ['224.0.0.1', '255.255.255.255', 'ff02::1', 'fe80::1'])
    assert.match(
      problems(`app: a\nrun: b\nports: [{port: 80, address: ${written}}]`).join(),
      /^3: ports\[0\]\.address: .* is not an address at which a server can be reached$/,
    )
})

test('one of port and ports is needed, and no port twice', () => {
  assert.deepEqual(problems('app: a\nrun: b'), ['1: port: missing, expected port or ports'])
  assert.deepEqual(problems(`${least}ports: [{port: 1}]`), ['4: ports: port says it already; keep one of the two'])
  assert.deepEqual(problems('app: a\nrun: b\nports: []'), ['3: ports: expected at least one port'])
  assert.deepEqual(problems('app: a\nrun: b\nports:\n- port: 80\n- port: 80'), ['5: ports[1].port: 80 is listed twice'])
  assert.equal(problems('app: a\nrun: b\nport: 0').length, 1)
  assert.equal(problems('app: a\nrun: b\nport: "80"').length, 1)
})

test('a text that is no YAML is refused with the line where it goes wrong', () => {
  assert.match(problems('app: shop\nrun: [a').join(), /^2: /)
  assert.match(problems('app: shop\napp: shop').join(), /^2: .*unique/)
  assert.match(problems(`${least}env: *nobody`).join(), /^\d: .*nobody/)
  assert.deepEqual(problems(''), ['1: expected keys like app, run and port, not nothing'])
  assert.deepEqual(problems('- app'), ['1: expected keys like app, run and port, not a list'])
  assert.equal(problems('app: shop\n---\napp: shop').length, 1)
})

test('anchors kept under an x- key can be used anywhere', () => {
  const config = parse(
    `x-common: &common {DEBUG: 1}\nx-keep: &keep 2\n${least}env: {<<: *common, B: x}\nstandby: {keep: *keep}`,
  )
  assert.deepEqual(config.env, { DEBUG: '1', B: 'x' })
  assert.equal(config.standbyKeep, 2)
})

test('aliases that would grow without bound are refused', () => {
  const bomb = ['x-a: &a [1,1,1,1,1,1,1,1,1,1]']
  for (const [to, from] of ['ba', 'cb', 'dc', 'ed'].map((pair) => pair.split(''))) {
    bomb.push(`x-${to}: &${to} [${Array(10).fill(`*${from}`).join(',')}]`)
  }
  assert.match(problems(`${bomb.join('\n')}\n${least}`).join(), /alias/i)
})

test('the examples have configs that are right', () => {
  const examples = join(import.meta.dirname, '../../examples')
  const configs = readdirSync(examples, { recursive: true, encoding: 'utf8' }).filter((path) =>
    /cutover.*\.yaml$/.test(path),
  )
  assert.ok(configs.length > 0)
  for (const path of configs) parse(readFileSync(join(examples, path), 'utf8'))
})

test('auto steers where that works and the app opens its port itself, and shares otherwise', () => {
  const decided = (keys: string, steers: boolean) => {
    const { strategy, bind } = decide(parse(`${least}${keys}`), () => steers)
    return `${strategy}, ${bind}`
  }
  assert.equal(decided('', true), 'steer, auto')
  assert.equal(decided('', false), 'share, inherit')
  assert.equal(decided('bind: inherit', true), 'share, inherit')
  assert.equal(decided('strategy: share', true), 'share, inherit')
  assert.equal(decided('strategy: steer', false), 'steer, auto')
  assert.equal(decided('exclusive: true', true), 'stop-start, auto')
  assert.equal(decided('exclusive: true', false), 'stop-start, inherit')
  assert.equal(decided('strategy: stop-start\nbind: inherit', true), 'stop-start, inherit')
  assert.match(problems(`${least}strategy: steer\nbind: inherit`)[0] ?? '', /with steer an app opens its port itself/)
  assert.match(problems(`${least}strategy: share\nexclusive: true`)[0] ?? '', /share runs two releases at once/)
})
