/**
 * The oldest part of a log is let go by making it a hole: nothing is renamed or copied, the app keeps its descriptor, and the file's length goes
 * on growing. What is read there is zeros.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, rmSync, statSync, writeSync } from 'node:fs'
import { constants, type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { nextData, punchHole } from '../linux/sparse.ts'
import { timesOf } from './log-times.ts'
import { whenItGrows } from './log-watch.ts'

export interface LogBounds {
  /** How many bytes the log of that name may take on the disk. */
  readonly maxOf: (log: string) => number
  /** Called once for each log that its file system cannot let go of: it goes on growing. */
  readonly unbounded: (log: string, max: number) => void
}

/** How often a log that grows is looked at: what an app can write in that time is what a log may take beyond its share. */
const restMs = 100

/** How often one log is shortened before the others are looked at. */
const mostAgain = 10

/** Keeps every `*.log` of the directory, and its times, within bounds until it is disposed. */
export function boundLogs(directory: string, { maxOf, unbounded }: LogBounds): Disposable {
  const given = new Set<string>()
  /** @returns whether something was let go */
  const boundOne = async (log: string): Promise<boolean> => {
    const path = join(directory, log)
    const max = maxOf(log)
    let outcome = await bound(path, max)
    const shortened = outcome === 'shortened'
    // It may have grown by as much again meanwhile.
    for (let again = 0; outcome === 'shortened' && again < mostAgain; again++) outcome = await bound(path, max)
    if (outcome === 'impossible') {
      given.add(log)
      unbounded(log, max)
    }
    await bound(timesOf(path), max / 8)
    return shortened
  }
  return whenItGrows(directory, restMs, async () => {
    let done = false
    const failures: unknown[] = []
    for (const log of readdirSync(directory).filter((name) => name.endsWith('.log') && !given.has(name))) {
      // Whatever is wrong with one of them, the others have their turn.
      try {
        if (await boundOne(log)) done = true
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
    return done
  })
}

/** Whether logs in this directory can be kept within bounds, found by trying. */
export function canLetGo(directory: string): boolean {
  const path = join(directory, '.holes')
  const file = openSync(path, 'w+', 0o600)
  try {
    writeSync(file, Buffer.alloc(blockBytes, 'x'))
    return punchHole(file, 0, blockBytes)
  } finally {
    closeSync(file)
    rmSync(path, { force: true })
  }
}

/** Where the part of a log that is still there begins. */
export interface Kept {
  /** Bytes before it are lost. */
  readonly from: number
  /** Its first whole line begins here. */
  readonly line: number
}

/**
 * Looks for the hole at the beginning of the file; both are 0 if there is none. Does not suspend: it is this process that moves the hole, so that
 * what is said holds until the caller does.
 */
export function keptOf(fd: number): Kept {
  const data = nextData(fd, 0)
  if (data === 0) return { from: 0, line: 0 }
  if (data === null) {
    const { size } = fstatSync(fd)
    return { from: size, line: size }
  }
  // The block where the hole ends begins with zeros.
  const block = Buffer.alloc(2 * blockBytes)
  const bytesRead = readSync(fd, block, 0, block.length, data)
  const first = block.subarray(0, bytesRead).findIndex((byte) => byte !== 0)
  const begin = first === -1 ? bytesRead : first
  const end = block.subarray(begin, Math.min(bytesRead, begin + blockBytes)).indexOf(newline)
  return { from: data + begin, line: data + begin + end + 1 }
}

/** The largest block of any file system, and the longest line that is looked for. */
const blockBytes = 65_536
const newline = 0x0a

/** What is kept of a log that has become too large. Below its share, so that not every line moves the hole. */
const keptShare = 3 / 4

type Outcome = 'fits' | 'shortened' | 'impossible'

/** The file's oldest part goes if it takes more room than that. A file that is not there fits. */
async function bound(path: string, max: number): Promise<Outcome> {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat?.isFile() || stat.blocks * 512 <= max) return 'fits'
  // Its user may write the file, but not its directory.
  await using handle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW)
  const { size } = await handle.stat()
  const { from } = keptOf(handle.fd)
  // A file system may have put room aside for what is still to come, which counts as taken.
  if (size - from <= max) return 'fits'
  return (await letGo(handle, await lineEndAfter(handle, Math.ceil(size - max * keptShare))))
    ? 'shortened'
    : 'impossible'
}

/** In pieces, with whatever else the daemon has to do between them: writing back what is let go may take a disk a while. */
async function letGo(handle: FileHandle, to: number): Promise<boolean> {
  // From the first block that is left: a part of it was let go before.
  for (let at = nextData(handle.fd, 0); at !== null && at < to; at = nextData(handle.fd, at)) {
    const end = Math.min(to, at - (at % pieceBytes) + pieceBytes)
    if (!punchHole(handle.fd, at, end)) return false
    at = end
    await nextTurn()
  }
  return true
}

const pieceBytes = 1_048_576

/** The end of the line that the offset is in, its newline not counted; the offset itself if there is none near by. */
async function lineEndAfter(handle: FileHandle, offset: number): Promise<number> {
  const block = Buffer.alloc(blockBytes)
  const { bytesRead } = await handle.read(block, 0, blockBytes, offset)
  return offset + Math.max(0, block.subarray(0, bytesRead).indexOf(newline))
}
