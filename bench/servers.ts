/**
 * `npm run servers`: every server of `examples/` through hundreds of switches and ten kills, and the table of docs/servers.md. Needs root; all
 * of it happens in a network namespace of its own. `npm run servers -- nginx puma` takes those alone; `--switches N` (300 if left out);
 * `--write` puts the table into the page.
 */
import '../test/support/namespace.ts'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { example, exampleFolder } from '../test/support/examples.ts'
import { killUnderLoad } from '../test/support/killing.ts'
import { describeLosses, fatesTable, lostIn } from '../test/support/load.ts'
import { serverNames } from '../test/support/servers.ts'
import { switchUnderLoad } from '../test/support/switching.ts'
import { writeBetweenMarks } from './document.ts'
import { withScope } from './scope.ts'
import { isAsPromised, notesOf, type Seen, serversTable } from './servers-table.ts'
import { describe, loadNow, surroundingsOf } from './surroundings.ts'

/** Between two switches: at 300 of them there are five rounds of 3-second requests. */
const pauseMs = 50
const kills = 10

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { switches: { type: 'string', default: '300' }, write: { type: 'boolean', default: false } },
})
const switches = Number(options.switches)
const wanted = serverNames.filter((name) => positionals.length === 0 || positionals.includes(name))
const unknown = positionals.filter((name) => !wanted.some((one) => one === name))
if (unknown.length > 0 || !Number.isInteger(switches) || switches < 1) {
  console.error(`Usage: npm run servers -- [--switches N] [--write] [${serverNames.join('|')}]…`)
  process.exit(2)
}
if (options.write && wanted.length < serverNames.length) {
  console.error('--write takes all servers: the page is of one run')
  process.exit(2)
}
const missing = wanted.map((name) => example(name).skip).filter((reason) => reason !== false)
if (process.getuid?.() !== 0 || missing.length > 0) {
  console.error(`servers: ${missing[0] ?? 'needs root, because steering does'}`)
  process.exit(3)
}

const loadBefore = loadNow()
const all: Seen[] = []
for (const name of wanted) {
  process.stderr.write(`${name} … `)
  const fates = await withScope((scope) => switchUnderLoad(scope, name, { switches, pauseMs }))
  const killed = await withScope((scope) => {
    const { app, port, protocol } = example(name)
    const load = { kind: 'short', protocol, port, timeoutMs: 60_000 } as const
    return killUnderLoad(scope, { app, folder: exampleFolder(scope, name), load, times: kills })
  })
  all.push({ name, fates, killed })
  process.stderr.write(`\n${fatesTable({ ...Object.fromEntries(fates), killed: killed.fates })}\n`)
  for (const fate of fates.values()) if (lostIn(fate) > 0) process.stderr.write(`${describeLosses(fate)}\n`)
}
const page = [describe(surroundingsOf(loadBefore, 1)), serversTable(all), notesOf(all)].join('\n\n')
if (options.write) writeBetweenMarks('servers', page)
else console.log(page)
process.exitCode = all.every(isAsPromised) ? 0 : 1
