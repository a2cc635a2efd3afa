/** A daemon whose kernel programs are those of another folder: `node other-daemon.ts FOLDER --ready-fd 3`. */
import process from 'node:process'
import { runDaemon } from '../../src/daemon/main.ts'
import { defaultPlace } from '../../src/daemon/place.ts'
import { openEngine } from '../../src/engine/open.ts'
import { parts } from '../../src/engine/parts.ts'

const [folder = '', , fd] = process.argv.slice(2)
await runDaemon({
  place: defaultPlace(),
  readyFd: Number(fd),
  open: (options) =>
    openEngine(options, {
      ...parts,
      openSteering: (where) => parts.openSteering({ ...where, objects: new URL(folder) }),
    }),
})
process.exit(0)
