/** A daemon process around an engine in memory, started as `cutover daemon --ready-fd N` would be. */
import { runDaemon } from '../../src/daemon/main.ts'
import { defaultPlace } from '../../src/daemon/place.ts'
import { createSmallEngine } from './small-engine.ts'

const fd = process.argv[process.argv.indexOf('--ready-fd') + 1]
await runDaemon({
  place: defaultPlace(),
  readyFd: process.argv.includes('--ready-fd') ? Number(fd) : null,
  open: async () => createSmallEngine(),
})
process.exit(0)
