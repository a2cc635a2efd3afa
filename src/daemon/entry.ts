/**
 * The program of the daemon's process: `node daemon.js [--ready-fd N] [--lock-fd N]`, with `$CUTOVER_HOME`. It is bundled by itself, without the
 * commands. With `--look-only` it becomes no daemon, and says whether it could go on from what another one left there.
 */
import process from 'node:process'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { CutoverError, exitCodes } from '../core/errors.ts'
import { openEngine } from '../engine/open.ts'
import { requireTakeable } from '../engine/takeable.ts'
import { closeDescriptorsOnExec } from '../linux/descriptors.ts'
import { Descriptor } from '../linux/ffi.ts'
import { runDaemon } from './main.ts'
import { defaultPlace } from './place.ts'

const { values } = parseArgs({
  options: { 'ready-fd': { type: 'string' }, 'lock-fd': { type: 'string' }, 'look-only': { type: 'boolean' } },
})
const { 'ready-fd': readyFd, 'lock-fd': lockFd, 'look-only': lookOnly = false } = values

try {
  // A holder that inherited the lock would keep it for as long as it sleeps, and no daemon could follow this one.
  closeDescriptorsOnExec()
  if (lookOnly) requireTakeable(defaultPlace().home)
  else
    await runDaemon({
      place: defaultPlace(),
      readyFd: readyFd === undefined ? null : Number(readyFd),
      lock: lockFd === undefined ? undefined : new Descriptor(Number(lockFd)),
      open: openEngine,
    })
} catch (error) {
  if (!(error instanceof CutoverError)) throw error
  for (const line of [error.message, ...error.details.map((detail) => `  ${detail}`)])
    process.stderr.write(`${stripVTControlCharacters(line)}\n`)
  process.exitCode = exitCodes[error.kind]
}
// Whatever handle is left must not keep a daemon that has ended.
process.exit()
