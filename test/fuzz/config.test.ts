/** Whatever stands in a `cutover.yaml`, it is a config, or an error for people that names the file and the line; soon. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { mostConfig, parseConfig } from '../../src/core/config.ts'
import { CutoverError } from '../../src/core/errors.ts'
import { bounded } from './bounded.ts'

const file = 'cutover.yaml'

/** Of a processor, whose clock does not run while others have it: far above what the slowest text takes, far below what anybody would wait. */
const soonMs = 20_000

function check(text: string): void {
  const before = process.cpuUsage()
  try {
    const { app, ports, run } = parseConfig(text, { file, cores: 2 })
    assert.match(app, /^[a-z0-9-]{1,40}$/)
    assert.ok(run.length > 0 && ports.length > 0)
  } catch (error) {
    assert.ok(error instanceof CutoverError, `${error instanceof Error ? error.stack : error}`)
    assert.equal(error.kind, 'usage')
    assert.ok(error.details.length > 0 && error.details.length <= 51)
    for (const detail of error.details) assert.match(detail, /^(cutover\.yaml:\d+: .|… and \d+ more$)/s)
  }
  const { user, system } = process.cpuUsage(before)
  const took = (user + system) / 1000
  assert.ok(took < soonMs, `${took.toFixed(0)} ms`)
}

/** Each key with something that it might hold. */
const valid = fc.record(
  {
    app: fc.stringMatching(/^[a-z0-9-]{1,40}$/),
    run: fc.constantFrom('node server.js', ['node', 'a b'], "sh -c 'exit 1'"),
    port: fc.integer({ min: 1, max: 65_535 }),
    // PORT is Cutover's own.
    env: fc.dictionary(
      fc.stringMatching(/^[A-Z_]{1,8}$/).filter((key) => key !== 'PORT'),
      fc.oneof(fc.string(), fc.integer(), fc.boolean()),
    ),
    env_file: fc.constantFrom('.env', ['.env', '../other.env']),
    health: fc.constantFrom('auto', { path: '/up' }, { tcp: true }, { command: 'true', interval: '1s' }),
    shared: fc.array(fc.constantFrom('uploads', 'data/db.sqlite', 'a/b/c')),
    workers: fc.constantFrom(1, 64, 'max'),
    stop_signal: fc.constantFrom('TERM', ['QUIT', '10s', 'TERM']),
    deploy_timeout: fc.constantFrom('30s', '500ms', '1.5h'),
    warmup: fc.constantFrom([], [{ path: '/', times: 3 }]),
    standby: fc.constantFrom({}, { keep: 2 }),
    ignore: fc.array(fc.string()),
    // A key that merges is one of YAML's own: it takes a map.
    'x-notes': fc.anything({ maxDepth: 3, key: fc.string().filter((key) => key !== '<<') }),
  },
  { requiredKeys: ['app', 'run', 'port'] },
)

const keys = [
  'app',
  'run',
  'port',
  'ports',
  'build',
  'shared',
  'env',
  'user',
  'health',
  'standby',
  'logs',
  'bake',
  '<<',
  'x-a',
]
const anyText = fc.string({ unit: 'binary', maxLength: 200 })
const anything = fc.anything({
  maxDepth: 4,
  withBigInt: true,
  withDate: true,
  withNullPrototype: true,
  withSparseArray: true,
})

/** Pieces of YAML, put together in any order: what a parser has its rules for, and what breaks them. */
const pieces = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...keys.map((key) => `${key}: `),
        '\n',
        '  ',
        '\t',
        '- ',
        '? ',
        ': ',
        '[',
        ']',
        '{',
        '}',
        ',',
        '"',
        "'",
        '`',
      ),
      fc.constantFrom(
        '|\n',
        '>-\n',
        '&a ',
        '*a',
        '*b',
        '!!binary ',
        '!!js/function ',
        '!!set ',
        '!x ',
        '---\n',
        '...\n',
        '%YAML 1.1\n',
        '# ',
      ),
      fc.constantFrom(
        '\0',
        '\r',
        '\u{feff}',
        '\u2028',
        '\u0085',
        '\u001b[2J',
        '\ud800',
        '1e999',
        '.nan',
        '0o7',
        '1:20',
        '~',
        'yes',
        '__proto__: ',
      ),
      fc.string({ unit: 'grapheme', maxLength: 8 }),
    ),
    { maxLength: 80 },
  )
  .map((parts) => parts.join(''))

test('random text', () => bounded(fc.property(fc.oneof(anyText, pieces), check), 4000))

test('random values at random keys', () => {
  const configs = fc.dictionary(fc.oneof(fc.constantFrom(...keys), fc.string()), anything, { maxKeys: 8 })
  bounded(
    fc.property(configs, (config) => check(inYaml(config))),
    1500,
  )
})

test('valid configs are configs, and with one thing wrong they are errors or configs', () => {
  bounded(
    fc.property(valid, fc.constantFrom(...keys), anything, (config, key, value) => {
      const { app } = parseConfig(inYaml({ ...config, ignore: [] }), { file, cores: 2 })
      assert.equal(app, config.app)
      check(inYaml({ ...config, [key]: value }))
    }),
    1000,
  )
})

test('valid configs whose text was damaged', () => {
  const damage = fc.array(
    fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), cut: fc.nat(5), put: fc.oneof(anyText, pieces) }),
    { maxLength: 3 },
  )
  bounded(
    fc.property(valid, damage, (config, wounds) => {
      const damaged = wounds.reduce((text, { at, cut, put }) => {
        const place = Math.floor(at * text.length)
        return text.slice(0, place) + put + text.slice(place + cut)
      }, inYaml(config))
      check(damaged)
    }),
    1500,
  )
})

const lines = (count: number, line: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => line(index)).join('\n')

const awful: Readonly<Record<string, string>> = {
  'as deep as it goes, in lists': '['.repeat(mostConfig),
  'as deep as it goes, in maps': '{a: '.repeat(mostConfig / 4),
  'as deep as it goes, in block lists': '- '.repeat(mostConfig / 2),
  'as deep as it goes, in keys': '? '.repeat(mostConfig / 2),
  'as deep as it goes, by indentation': lines(350, (index) => `${' '.repeat(index)}a:`),
  'an alias of itself': 'x: &a [*a]',
  'a key that merges nothing': '? <<: ',
  'a merge of itself': 'x: &a {<<: *a}',
  'a thousand million laughs': lines(
    10,
    (n) =>
      `l${n}: &l${n} [${Array(10)
        .fill(n === 0 ? 'ha' : `*l${n - 1}`)
        .join(', ')}]`,
  ),
  'as many by merging': lines(10, (n) =>
    n === 0
      ? 'l0: &l0 {a: 1}'
      : `l${n}: &l${n} {<<: [${Array(10)
          .fill(`*l${n - 1}`)
          .join(', ')}]}`,
  ),
  'thousands of unknown keys': lines(7000, (n) => `k${n}: 1`),
  'thousands of variables that are none': `env:\n${lines(5000, (n) => ` ${n}: {}`)}`,
  'thousands of anchors': lines(6000, (n) => `- &a${n} x`),
  'one long word': `run: ${'x'.repeat(mostConfig - 10)}`,
  'one long command': `run: ${`"' `.repeat(mostConfig / 3 - 10)}`,
  'one quote': `"${'\\'.repeat(mostConfig - 2)}`,
  'only line ends': '\r\n'.repeat(mostConfig / 2),
  'larger than any': 'x'.repeat(10_000_000),
}
for (const [what, text] of Object.entries(awful)) test(what, () => check(text))

/** As far as YAML can say it: some values have no text at all. */
function inYaml(value: unknown): string {
  try {
    return stringify(value)
  } catch {
    return String(value)
  }
}
