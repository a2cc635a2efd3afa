/** The log of an app through everything that happens to it. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ask } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode } from '../support/node.ts'
import { shopFolder } from '../support/shop.ts'
import { eventually } from '../support/workspace.ts'

const skip = asRoot

/** Prints what it is asked to, N lines of it: `/word?3`; and a last word. */
const talker = `
import { createServer } from 'node:http'
import { writeSync } from 'node:fs'
process.on('SIGTERM', () => {
  console.log('good night')
  process.exit(0)
})
let said = 0
createServer((request, response) => {
  const url = new URL(request.url, 'http://talker')
  const times = Number(url.search.slice(1))
  const line = () => url.pathname.slice(1) + ' ' + ++said
  for (let done = 0; done < times; done += 1000)
    writeSync(1, Array.from({ length: Math.min(1000, times - done) }, line).join('\\n') + '\\n')
  response.end(process.env.CUTOVER_RELEASE)
}).listen(8080)
`

test('logs -f names the release on each line, through deploys and a rollback, and says when the daemon is gone', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  const folder = shopFolder(t, { server: talker, config: 'standby: {keep: 1}' })
  await node.deploy(folder)
  let shown = ''
  const watching = cutover(['logs', 'shop', '-f'], {
    home: node.place.home,
    meanwhile: ({ stdout }) => stdout?.on('data', (bytes) => (shown += bytes)),
  })
  const lineShown = (line: string) => eventually(() => shown.split('\n').includes(line))
  const say = async (word: string, release: string) => {
    assert.equal(await ask(`/${word}?1`), release)
    await eventually(() => new RegExp(`^${release}  ${word} \\d+$`, 'm').test(shown))
  }
  await say('one', 'v1')
  await node.deploy(folder)
  await say('two', 'v2')
  await node.rollback('shop')
  await say('three', 'v1')
  await node.deploy(folder)
  await say('four', 'v3')
  await node.rollback('shop')
  await say('five', 'v1')
  // Two standbys are one too many: the last words of v2 are its own.
  await lineShown('v2  good night')
  for (const line of shown.trimEnd().split('\n')) assert.match(line, /^v[123] {2}\S/)

  await node.killDaemon()
  const { code, stderr } = await watching
  assert.deepEqual([code, stderr], [3, 'The daemon ended; apps and traffic go on.\n'])
  assert.equal(await ask('/six?1'), 'v1')
})

test('a log that grew while no daemon lived is cut to its share by the next one, and the app goes on in it', {
  skip,
}, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t, { server: talker, config: 'logs: {max: 1MB}' }))
  const file = join(node.place.home, 'logs', 'shop', 'v1.log')
  const bytes = () => statSync(file).blocks * 512
  await ask('/early?200000')
  await eventually(() => bytes() <= 1_000_000)
  await node.killDaemon()
  await ask('/meanwhile?500000')
  assert.ok(bytes() > 5_000_000)
  await node.client.status()
  await eventually(() => bytes() <= 1_000_000)
  await ask('/late?3')

  const { stdout } = await cutover(['logs', 'shop', '-n', '2'], { home: node.place.home })
  assert.equal(stdout, 'late 700002\nlate 700003\n')
  const all = await cutover(['logs', 'shop', '-n', '1000000', '--json'], { home: node.place.home })
  const lines: string[] = JSON.parse(all.stdout).lines.map(({ line }: { line: string }) => line)
  assert.match(lines[0] ?? '', /^cutover: \d+\.\d MB of older lines were let go \(logs: \{max\}\)$/)
  const numbers = lines.slice(1).map((line) => Number(line.split(' ')[1]))
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => 700_003 - numbers.length + 1 + index),
  )
  assert.ok(numbers.length > 10_000)
})
