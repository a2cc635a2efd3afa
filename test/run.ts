/**
 * `npm test [-- PATH…]`: all test files, or those below the paths. Unit tests two files at a time, and so the longest of the system tests; the
 * others one by one, since those measure losses under load. Ends with `N passed, N failed, N skipped` alone on a line.
 */
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import process from 'node:process'
import { Readable } from 'node:stream'
import { run } from 'node:test'
import { spec as Spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** No file takes longer, on a machine that is many times slower either. One that does not end when its tests have is ended, and has failed. */
const fileTimeoutMs = 60 * 60_000

const wanted = process.argv.slice(2).map((path) => resolve(path))
const files = globSync('test/**/*.test.ts', { cwd: root })
  .map((file) => resolve(root, file))
  .filter((file) => wanted.length === 0 || wanted.some((path) => file === path || file.startsWith(`${path}/`)))
  .sort()
const isSystem = (file: string) => relative(root, file).startsWith('test/system/')
/** Minutes of small steps under light load, most of them spent waiting: two share a machine well. */
const isLong = (file: string) => /^test\/system\/(kills\/|share\/kills\.|folders\.)/.test(relative(root, file))
/** Two must not write one page at once. */
const writesPages = process.env.CUTOVER_KILLS !== undefined || process.env.CUTOVER_FOLDERS !== undefined
/** Only root has a network namespace for each file, in which its ports are its own. */
const two = process.getuid?.() === 0 ? 2 : 1
const stages = [
  { files: files.filter((file) => !isSystem(file)), atOnce: two },
  { files: files.filter(isLong), atOnce: writesPages ? 1 : two },
  { files: files.filter((file) => isSystem(file) && !isLong(file)), atOnce: 1 },
]

const total = { passed: 0, failed: 0, skipped: 0 }
const unexplained: string[] = []

const start = (file: string) => run({ files: [file], cwd: root, signal: AbortSignal.timeout(fileTimeoutMs) })

/** The reports of all files in their order, `atOnce` of them running: what a file reports before its turn waits in its stream. */
async function* reports({ files, atOnce }: (typeof stages)[number]) {
  const started = files.slice(0, atOnce).map(start)
  for (const [at] of files.entries()) {
    yield* started[at] ?? []
    const next = files[at + atOnce]
    if (next !== undefined) started.push(start(next))
  }
}

/** All that is reported, without each file's own totals: those come once, at the end. */
async function* events() {
  for (const stage of stages) {
    for await (const event of reports(stage)) {
      if (event.type === 'test:summary' && event.data.file === undefined) {
        total.passed += event.data.counts.passed
        total.failed += event.data.counts.failed + event.data.counts.cancelled
        total.skipped += event.data.counts.skipped
        continue
      }
      if (event.type === 'test:diagnostic' && event.data.nesting === 0 && event.data.file === undefined) continue
      if (event.type === 'test:pass' && event.data.skip === true)
        unexplained.push(`${event.data.file ?? ''}: ${event.data.name}`)
      yield event
    }
  }
}

const report = Readable.from(events()).compose(new Spec())
report.pipe(process.stdout, { end: false })
await once(report, 'end')

if (files.length === 0) console.log(`no test file below ${wanted.join(', ')}`)
for (const name of unexplained) console.log(`skipped without a reason: ${name}`)
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
process.exitCode = total.failed > 0 || unexplained.length > 0 || files.length === 0 ? 1 : 0
