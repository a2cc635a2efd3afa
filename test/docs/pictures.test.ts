/** The pictures of docs/how-it-works.md: what draws them works on a fresh run, and what they show is what the page says. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { draw } from '../../bench/pictures/draw.ts'
import { play, type Scene } from '../../bench/pictures/scenes.ts'
import { withScope } from '../../bench/scope.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'

const docs = fileURLToPath(new URL('../../docs', import.meta.url))
const page = readFileSync(join(docs, 'how-it-works.md'), 'utf8')
const names = ['deploy', 'rollback', 'hold'] as const
const most = 40 * 1024
const skip = asRoot || needs('python3')

let scenes: Awaited<ReturnType<typeof play>>
before(async () => {
  if (!skip) scenes = await withScope(play)
})

/** Throws unless it is one. */
const requireXml = (text: string) =>
  execFileSync('python3', ['-c', 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.stdin.buffer)'], {
    input: text,
    stdio: ['pipe', 'ignore', 'pipe'],
  })

const all = ({ clients }: Scene) => clients.flat()

test('the page shows each picture, all of them small, with words for whoever does not see it', { skip }, () => {
  for (const name of names) {
    assert.match(page, new RegExp(`!\\[[^\\]]{40,}\\]\\(pictures/${name}\\.svg\\)`))
    const file = join(docs, 'pictures', `${name}.svg`)
    assert.ok(statSync(file).size < most, file)
    requireXml(readFileSync(file, 'utf8'))
  }
})

for (const name of names)
  test(`a fresh run gives a small ${name} with each request and each event in it`, { skip }, () => {
    const scene = scenes[name]
    const picture = draw(scene)
    assert.ok(picture.length < most, `${picture.length} bytes`)
    requireXml(picture)
    const lines = picture.split('\n').filter((line) => line.includes('class="ask'))
    const drawn = lines.flatMap((line) => [...line.matchAll(/M[\d.]+ [\d.]+h/g)])
    assert.equal(drawn.length, all(scene).length)
    assert.ok(drawn.length > 20, `${drawn.length} requests`)
    for (const { event } of scene.events) assert.ok(picture.includes(`${event}:`), event)
    assert.match(picture, /prefers-color-scheme:dark/)
  })

test('at a deploy and a rollback nothing is lost, and who asks afterwards is answered by the other release', {
  skip,
}, () => {
  for (const [name, former, next] of [
    ['deploy', 'v1', 'v2'],
    ['rollback', 'v2', 'v1'],
  ] as const) {
    const { events } = scenes[name]
    const moved = events.find(({ event }) => event === name)?.at ?? 0
    const began = events.find(({ event }) => event === `${name}-began`)?.at ?? 0
    for (const { from, to, by } of all(scenes[name])) {
      assert.notEqual(by, null)
      // Events are told in whole milliseconds.
      if (from > moved + 1) assert.equal(by, next)
      if (to < began) assert.equal(by, former)
    }
  }
})

test('when a release is killed those who come wait and are answered, and what it worked on is lost', { skip }, () => {
  const { hold } = scenes
  const at = (wanted: string) => hold.events.find(({ event }) => event === wanted)?.at ?? 0
  const exited = at('worker-exited')
  // The daemon counts them. What the clients saw is told by their own clocks, which may be late.
  assert.match(hold.events.find(({ event }) => event === 'handed-on')?.text ?? '', /^[1-9]\d* connections had waited/)
  for (const { by } of all(hold)) assert.ok(by === null || by === 'v1')
  assert.ok(Math.max(...hold.waiting.map(({ count }) => count)) > 0, 'nobody was seen to wait')
  for (const { from } of all(hold).filter(({ by }) => by === null))
    assert.ok(from < exited + 1, `lost though it came ${from - exited} ms after the exit`)
})
