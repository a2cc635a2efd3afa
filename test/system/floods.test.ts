/** An app that prints without measure harms nobody: not the daemon, not another app, not the disk, not the terminal of who looks. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ask } from '../support/app.ts'
import { cutover } from '../support/cutover.ts'
import { assertNoneLost } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { startNode, type TestNode } from '../support/node.ts'
import { lightLoad, shopFolder } from '../support/shop.ts'
import { eventually } from '../support/workspace.ts'

const skip = asRoot
const port = 8081
const max = 4_000_000

/** `/flood?KIND` begins, `/` says how many bytes were written by now, `/calm` ends it with a last line. */
const floodServer = `
import { createServer } from 'node:http'
import { writeSync } from 'node:fs'
const kinds = {
  lines: 'a line of text as apps write them, ${'x'.repeat(40)}\\n'.repeat(10_000),
  binary: Buffer.from(Array.from({ length: 1_000_000 }, (_, n) => (n * 7919) % 256).filter((byte) => byte !== 10)),
  endless: 'x'.repeat(1_000_000),
  long: 'x'.repeat(999_999) + '\\n',
  escapes: '\\u001b[2J\\u001b]0;owned\\u0007\\u001b[31mred\\u009b5n\\r\\b\\n'.repeat(20_000),
}
let kind = null
let written = 0
const flood = () => {
  if (kind === null) return
  written += writeSync(1, kinds[kind])
  setImmediate(flood)
}
createServer((request, response) => {
  const url = new URL(request.url, 'http://flood')
  if (url.pathname === '/flood') {
    written = 0
    kind = url.search.slice(1)
    setImmediate(flood)
  }
  if (url.pathname === '/calm') {
    kind = null
    console.log('\\ncalm again')
  }
  response.end(String(written))
}).listen(${port})
`

test('100 MB in seconds, of whatever kind', { skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  await node.deploy(shopFolder(t, { app: 'flood', config: `port: ${port}\nlogs: {max: 4MB}`, server: floodServer }))
  const log = join(node.place.home, 'logs', 'flood', 'v1.log')
  const daemon = Number(readFileSync(node.place.lock, 'utf8'))
  await using load = await lightLoad()
  await node.client.status()
  const memoryBefore = peakMemory(daemon)

  for (const kind of ['lines', 'binary', 'endless', 'long', 'escapes']) {
    await t.test(kind, async () => {
      // One reader that takes nothing, and one that takes all it gets.
      using slow = following(node, 'flood')
      slow.child.stdout?.pause()
      using quick = following(node, 'flood')
      let last = ''
      quick.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        last = (last + text).slice(-200)
      })
      await ask(`/flood?${kind}`, port)
      let answers = 0
      while (Number(await ask('/', port)) < 100_000_000 || answers < 20) {
        assert.equal((await node.client.status()).apps.length, 2)
        answers++
      }
      await ask('/calm', port)
      await eventually(() => statSync(log).blocks * 512 <= max)
      await eventually(() => last.endsWith('v1  calm again\n'))
      const shown = await cutover(['logs', 'flood', '-n', '50'], { home: node.place.home })
      assert.equal(shown.code, 0, shown.stderr)
      assert.ok(shown.stdout.endsWith('\ncalm again\n'))
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
      assert.doesNotMatch(shown.stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
    })
  }

  // Of 500 MB, with two readers each time.
  const grown = peakMemory(daemon) - memoryBefore
  t.diagnostic(`the daemon took at most ${(grown / 1e6).toFixed(0)} MB more`)
  assert.ok(grown < 64_000_000, `the daemon's memory grew by ${grown} bytes`)
  const fates = await load.stop()
  assertNoneLost(fates)
  assert.equal(Number(readFileSync(node.place.lock, 'utf8')), daemon)
})

/** Every answer is 100 MB; of `/endless` there is no end. */
const hugeServer = `
import { createServer } from 'node:http'
const piece = Buffer.alloc(1_000_000, 'x')
createServer((request, response) => {
  let left = request.url === '/endless' ? Infinity : 100
  const more = () => {
    while (left > 0 && !response.destroyed) {
      left--
      if (!response.write(piece)) return response.once('drain', more)
    }
    response.end()
  }
  more()
}).listen(${port})
`

test('answers of 100 MB, or without end, to health checks and warm-up do not fill the daemon', { skip }, async (t) => {
  const node = await startNode(t)
  await node.deploy(shopFolder(t))
  const daemon = Number(readFileSync(node.place.lock, 'utf8'))
  const before = peakMemory(daemon)
  const keys = [
    `port: ${port}`,
    'health: {path: /endless, interval: 10ms, healthy: 5}',
    'warmup: [{path: /, times: 20}]',
  ]
  await node.deploy(shopFolder(t, { app: 'huge', config: keys.join('\n'), server: hugeServer }))
  const grown = peakMemory(daemon) - before
  t.diagnostic(`the daemon took at most ${(grown / 1e6).toFixed(0)} MB more`)
  // Of 2,000 MB and more: what is not freed yet is all that it has.
  assert.ok(grown < 256_000_000, `the daemon's memory grew by ${grown} bytes`)
})

/** `cutover logs APP -f` from the present end on. */
function following({ place }: TestNode, app: string): { readonly child: ChildProcess } & Disposable {
  const program = join(import.meta.dirname, '../../bin/cutover.js')
  const child = spawn(process.execPath, [program, 'logs', app, '-f', '-n', '1'], {
    env: { ...process.env, CUTOVER_HOME: place.home },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return { child, [Symbol.dispose]: () => void child.kill('SIGKILL') }
}

/** The most memory that the process has ever had resident, in bytes. */
const peakMemory = (pid: number): number =>
  Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
