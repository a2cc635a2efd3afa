import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { cutover, cutoverAtTerminal, type Ran } from '../support/cutover.ts'
import { daemonHere } from '../support/daemons.ts'
import { screenAfter } from '../support/screen.ts'

const here = {
  timeout: 120_000,
  skip: spawnSync('script', ['--version']).status === 0 ? false : 'needs script(1) of util-linux (bsdutils)',
}

/** A daemon, and folders whose names say what their apps do. */
async function home(t: TestContext) {
  const { place, engine } = await daemonHere(t)
  for (const app of ['shop', 'fails', 'waits', 'talks']) mkdirSync(join(place.home, app))
  return { at: { home: place.home, cwd: place.home }, engine }
}

/** Every line that a plain log has, first what goes to stderr. */
const linesOf = ({ stdout, stderr }: Ran): string[] => `${stderr}${stdout}`.split('\n').slice(0, -1)

const hideCursor = '\u001b[?25l'

/** Anything that a terminal obeys but the end of a line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
const obeyed = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/

test('a terminal shows the lines of a plain log, which has nothing but them', here, async (t) => {
  const { at } = await home(t)
  for (const args of [['deploy', 'shop'], ['deploy', 'fails'], ['status'], ['rollback', 'shop'], ['status', 'none']]) {
    const plain = await cutover(args, at)
    assert.doesNotMatch(plain.stdout + plain.stderr, obeyed, args.join(' '))
    const { code, screen } = await cutoverAtTerminal(args, at)
    const { lines, isCursorShown } = screenAfter(screen)
    assert.deepEqual(lines, linesOf(plain), args.join(' '))
    assert.equal(code, plain.code)
    assert.equal(isCursorShown, true)
  }
})

test('at a terminal the present step has a spinner, and mark and release alone have a colour', here, async (t) => {
  const { at } = await home(t)
  const [cyan, green, red] = ['36', '32', '31']
  const coloursOf = async (...args: string[]) => {
    const { screen } = await cutoverAtTerminal(args, at)
    return { screen, coloured: screenAfter(screen).coloured.filter((text) => !/[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]/.test(text)) }
  }
  const works = await coloursOf('deploy', 'shop')
  assert.match(works.screen, /⠋/)
  assert.deepEqual(works.coloured, [`${cyan} v5`, `${green} ✓`, `${green} ✓`])
  assert.deepEqual((await coloursOf('deploy', 'fails')).coloured, [`${cyan} v5`, `${green} ✓`, `${red} ✗`])
  assert.deepEqual((await coloursOf('status')).coloured, [`${cyan} v5`, `${cyan} v4`])
})

test('NO_COLOR takes every colour away, CI and a dumb terminal the spinner, and the lines stay', here, async (t) => {
  const { at } = await home(t)
  const lines = linesOf(await cutover(['deploy', 'shop'], at))
  for (const [environment, { colour, spinner }] of [
    [{ NO_COLOR: '1' }, { colour: false, spinner: true }],
    [{ CI: 'true' }, { colour: false, spinner: false }],
    [{ TERM: 'dumb' }, { colour: false, spinner: false }],
  ] as const) {
    const { screen } = await cutoverAtTerminal(['deploy', 'shop'], { ...at, environment })
    const seen = screenAfter(screen)
    const which = JSON.stringify(environment)
    assert.equal(seen.coloured.length > 0, colour, which)
    assert.equal(screen.includes('⠋'), spinner, which)
    assert.equal(screen.includes(hideCursor), spinner, which)
    assert.deepEqual(seen.lines, lines, which)
  }
})

test('--quiet says nothing at a terminal either, and errors all the same', here, async (t) => {
  const { at } = await home(t)
  assert.deepEqual(await cutoverAtTerminal(['deploy', 'shop', '--quiet'], at), { code: 0, screen: '' })
  const { code, screen } = await cutoverAtTerminal(['deploy', 'fails', '--quiet'], at)
  assert.deepEqual(screenAfter(screen).lines, linesOf(await cutover(['deploy', 'fails', '--quiet'], at)))
  assert.equal(code, 1)
})

test('a narrow terminal breaks no line but those of sentences', here, async (t) => {
  const { at } = await home(t)
  const columns = 40
  const narrow = async (...args: string[]) =>
    screenAfter((await cutoverAtTerminal(args, { ...at, columns })).screen, columns).lines
  assert.deepEqual((await narrow('deploy', 'talks')).slice(0, 7), [
    'talks v5 · a1b2c3d',
    '  ✓ copy      412 files, 18 MB    0.1 s',
    '  ✓ start     pid 4711 listens    0.6 s',
    '              on 0.0.0.0:8080,',
    '              with-a-name-that-',
    '              is-long-indeed',
    '  ✓ cutover   v4 → v5             5 µs',
  ])
  assert.deepEqual(await narrow('status'), [
    'talks  :8080  steer',
    '  v5  active    3 min  a1b2c3d',
    '      214/s  1,204 open  61 MB',
    '  v4  standby   3 min  77aa01c',
    '        0/s     12 open  58 MB',
  ])
})

test('Ctrl-C during a deploy ends it cleanly, and leaves the terminal as it was', here, async (t) => {
  const { at, engine } = await home(t)
  const typed = { when: 'waiting', keys: '\u0003' }
  const { code, screen } = await cutoverAtTerminal(['deploy', 'waits'], { ...at, typed })
  const { lines, isCursorShown } = screenAfter(screen)
  assert.ok(screen.includes(hideCursor), 'there was a spinner')
  assert.deepEqual(
    lines.map((line) => line.replace('^C', '')),
    [
      'waits v5 · a1b2c3d',
      '  ✓ copy      412 files, 18 MB                    0.1 s',
      '  ! waiting',
      'Ending this cleanly. Ctrl-C again leaves at once.',
      'waits v5 was interrupted and never went live. Traffic is on v4, as before.',
    ],
  )
  assert.equal(isCursorShown, true)
  assert.equal(code, 130)
  assert.ok(engine.deeds.includes('interrupted waits'))
})

test('who leaves at once, by Ctrl-\\, sees the cursor again and is told where to look', here, async (t) => {
  const { at, engine } = await home(t)
  const typed = { when: 'waiting', keys: '\u001c' }
  const { code, screen } = await cutoverAtTerminal(['deploy', 'waits'], { ...at, typed })
  const { lines, isCursorShown } = screenAfter(screen)
  assert.equal(lines.at(-1)?.replace('^\\', ''), 'What becomes of it: cutover history')
  assert.equal(isCursorShown, true)
  assert.equal(code, 128 + 3)
  assert.ok(!engine.deeds.includes('interrupted waits'))
})

test('at a terminal an outage is asked for, and only yes is yes', here, async (t) => {
  const { at, engine } = await home(t)
  for (const [typed, expected] of [
    ['n', 4],
    ['', 4],
    ['y', 0],
  ] as const) {
    const answer = { when: '[y/N]', keys: `${typed}\r` }
    const { code, screen } = await cutoverAtTerminal(['stop', 'shop'], { ...at, typed: answer })
    assert.match(screen, /Stop shop and refuse its clients\? \[y\/N\]/)
    assert.equal(code, expected)
  }
  const unasked = await cutoverAtTerminal(['remove', 'shop', '--yes'], at)
  assert(!unasked.screen.includes('[y/N]'))
  assert.deepEqual(engine.deeds.filter((deed) => !deed.startsWith('done')).length, 2)
})
