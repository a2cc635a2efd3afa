/** The process that is the daemon: JSON lines on stdout, signals, and word to whoever started it. */
import { closeSync, writeSync } from 'node:fs'
import { oomScoreOf } from '../core/oom.ts'
import { inheritedOomScore, setOomScore } from '../linux/oom.ts'
import { ownVersion } from '../program.ts'
import { type DaemonOptions, startDaemon } from './daemon.ts'
import { createLog } from './log.ts'
import type { Place } from './place.ts'
import { type Problem, problemOf } from './problem.ts'
import { removeUnusedPrograms } from './program/prune.ts'
import { restBetween } from './rest.ts'

/** What a starting daemon writes, as one line, to the descriptor it was given: that it answers, or why it does not. */
export type Word = { readonly ready: true } | { readonly problem: Problem }

export interface RunOptions {
  readonly place: Place
  /** A pipe whose other end waits to hear that the daemon answers; null if nobody waits. */
  readonly readyFd: number | null
  readonly open: DaemonOptions['open']
  /** The lock of the home, if this process has it already. */
  readonly lock?: DaemonOptions['lock']
}

/**
 * Runs a daemon until somebody ends it, by SIGTERM, SIGINT or the API.
 * @throws CutoverError if it could not start.
 */
export async function runDaemon({ place, readyFd, open, lock }: RunOptions): Promise<void> {
  const log = createLog(place.log)
  process.on('uncaughtException', (error) => {
    // Its state may be half a change; the next daemon begins from what is written down. Apps and traffic go on.
    log.fatal({ err: error }, 'a defect; the daemon ends')
    process.exit(1)
  })
  const oomScore = oomScoreOf('daemon', inheritedOomScore)
  if (!setOomScore('self', oomScore))
    log.warn(
      { oom_score_adj: inheritedOomScore },
      `no right to set oom_score_adj to ${oomScore}: the daemon may be ended before apps are`,
    )
  const daemon = await startDaemon({ place, version: ownVersion(), log, open, lock }).catch((error: unknown) => {
    say(readyFd, { problem: problemOf(error, log) })
    throw error
  })
  const leave = () => void daemon.leave()
  process.on('SIGTERM', leave).on('SIGINT', leave)
  process.on('SIGHUP', () => {})
  // Not before signals are heard: whoever waits for this may send one at once.
  say(readyFd, { ready: true })
  removeUnusedPrograms(place.home).catch((err: unknown) => log.warn({ err }, 'older programs could not be removed'))
  restBetween()
  await daemon.ended
}

function say(fd: number | null, word: Word): void {
  if (fd === null) return
  try {
    writeSync(fd, `${JSON.stringify(word)}\n`)
    closeSync(fd)
  } catch {
    // Whoever started the daemon no longer waits for it.
  }
}
