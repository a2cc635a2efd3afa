/**
 * What an engine is made of: every way in which an operation changes something outside of the engine's own memory. To look at something it
 * needs no part, nor to bound the logs, which goes on by itself.
 * Whoever puts an engine together may put something between it and the world: tests do, to end the daemon before any of its deeds.
 */
import { runCommand } from '../instances/command.ts'
import { adoptInstance, startInstance } from '../instances/instance.ts'
import { freezeCgroup, thawCgroup } from '../linux/cgroup.ts'
import { createEnclosure, killIn, removeEnclosure } from '../linux/enclosure.ts'
import { mountBpffs, unmountBpffs } from '../linux/mounts.ts'
import { setOomScores } from '../linux/oom.ts'
import { copyRelease } from '../store/files/copy.ts'
import { duplicateRelease } from '../store/files/duplicate.ts'
import { keepEnvironment } from '../store/files/environment.ts'
import { removeFile, removeLeftovers, removeRelease, removeTree } from '../store/files/remove.ts'
import { toDisk } from '../store/files/to-disk.ts'
import { openStore } from '../store/store.ts'
import { openSharing } from '../strategies/share/sharing.ts'
import { tryQueues } from '../strategies/steer/queues.ts'
import { openSteering } from '../strategies/steer/steering.ts'

/** The real ones. */
export const parts = {
  openStore,
  openSteering,
  openSharing,
  tryQueues,
  instances: { start: startInstance, adopt: adoptInstance },
  commands: { run: runCommand },
  files: {
    copy: copyRelease,
    duplicate: duplicateRelease,
    keepEnvironment,
    remove: removeRelease,
    removeLeftovers,
    removeTree,
    removeFile,
    toDisk,
  },
  cgroups: {
    create: createEnclosure,
    freeze: freezeCgroup,
    thaw: thawCgroup,
    kill: killIn,
    remove: removeEnclosure,
    setOomScores,
  },
  bpffs: { mount: mountBpffs, unmount: unmountBpffs },
}

export type Parts = Readonly<typeof parts>
