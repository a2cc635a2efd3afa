/** Reading a file that an app goes on writing, line by line, without holding more than a line of it. */
import { fstatSync, watch } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { keptOf } from './log-hole.ts'
import { ownLine } from './notes.ts'

/** Longer lines come in pieces of this many bytes. */
const maxLineBytes = 65_536

const blockBytes = 65_536
const newline = 0x0a

/**
 * The lines from the offset on, without their ends. With `until` it goes on as the file grows, told by inotify, until that signal aborts; then
 * it gives what was written by then, and ends. Without it ends at the end of the file. A file that was cut to nothing is read from its new start.
 * In place of lines that were let go before they were read there is one that says so.
 */
export async function* linesFrom(file: string, offset: number, until: AbortSignal | null): AsyncGenerator<string> {
  await using handle = await open(file, 'r')
  using growth = until && watchGrowth(file, until)
  /** A line whose end was not there yet, of so many bytes, and what is read after it. */
  const block = Buffer.alloc(maxLineBytes + blockBytes)
  let pending = 0
  let at = offset
  /** Bytes that were let go before they were read. */
  let lost = 0
  /** What the file held when `until` aborted: one that grows faster than it is read must not keep us here. */
  let end = Number.POSITIVE_INFINITY
  using _ = onAbort(until, () => {
    end = fstatSync(handle.fd).size
  })
  for (;;) {
    growth?.forget()
    const { bytesRead } = await handle.read(block, pending, Math.min(blockBytes, Math.max(0, end - at)), at)
    if (bytesRead > 0) {
      const bytes = block.subarray(0, pending + bytesRead)
      const kept = bytes.includes(0, pending) ? keptOf(handle.fd) : null
      if (kept !== null && at < kept.from) {
        lost += kept.line - at
        at = kept.line
        pending = 0
        continue
      }
      if (lost > 0) yield ownLine(`${megabytes(lost)} of older lines were let go (logs: {max})`)
      lost = 0
      at += bytesRead
      let from = 0
      for (let to = nextEnd(bytes, from); to !== -1; to = nextEnd(bytes, from)) {
        yield text(bytes.subarray(from, to))
        from = bytes[to] === newline ? to + 1 : to
      }
      bytes.copyWithin(0, from)
      pending = bytes.length - from
    } else if (growth === null || end !== Number.POSITIVE_INFINITY) {
      if (pending > 0) yield text(block.subarray(0, pending))
      return
    } else {
      const { size } = await handle.stat()
      if (size < at) {
        at = 0
        pending = 0
      } else if (size === at) await growth.wait()
    }
  }
}

/**
 * Where the last `count` lines begin, pieces of a long one counted as such; 0 if fewer are kept. Reads from the end, in blocks, and not more
 * than that many lines can be.
 */
export async function offsetOfLast(handle: FileHandle, count: number): Promise<number> {
  const { size } = await handle.stat()
  if (count <= 0) return size
  const kept = keptOf(handle.fd)
  const block = Buffer.alloc(blockBytes)
  let left = count
  let lineEnd = size
  for (let end = size; end > kept.line; ) {
    const start = Math.max(kept.line, end - blockBytes)
    const { bytesRead } = await handle.read(block, 0, end - start, start)
    for (let at = bytesRead - 1; at >= 0; at--) {
      if (block[at] !== newline) continue
      if (start + at === size - 1) {
        // It closes the last line, and does not begin another one.
        lineEnd = size - 1
        continue
      }
      const begin = start + at + 1
      const pieces = Math.max(1, Math.ceil((lineEnd - begin) / maxLineBytes))
      if (pieces >= left) return begin + (pieces - left) * maxLineBytes
      left -= pieces
      lineEnd = begin - 1
    }
    if (lineEnd - start > left * maxLineBytes) return lineEnd - left * maxLineBytes
    end = start
  }
  return 0
}

/** The index at which the next line ends, or has to be broken; -1 if its end is not there yet. */
function nextEnd(bytes: Buffer, from: number): number {
  const end = bytes.indexOf(newline, from)
  if (end !== -1 && end - from <= maxLineBytes) return end
  return bytes.length - from > maxLineBytes ? from + maxLineBytes : -1
}

const megabytes = (bytes: number): string => `${Math.max(0.1, bytes / 1_000_000).toFixed(1)} MB`

/** Bytes that are no UTF-8 become U+FFFD. */
const text = (line: Buffer): string => line.toString('utf8').replace(/\r$/, '')

/** Calls `act` as the signal aborts, or at once if it has, until it is disposed. */
function onAbort(signal: AbortSignal | null, act: () => void): Disposable {
  if (signal?.aborted) act()
  else signal?.addEventListener('abort', act)
  return { [Symbol.dispose]: () => signal?.removeEventListener('abort', act) }
}

/** Remembers that the file changed, so that a change between reading and waiting is not missed. */
function watchGrowth(file: string, until: AbortSignal) {
  let changed = Promise.withResolvers<void>()
  const tell = () => changed.resolve()
  const watcher = watch(file, tell)
  // A watch that broke shows as silence; the reader's own read then reports what is wrong with the file.
  watcher.on('error', tell)
  until.addEventListener('abort', tell)
  return {
    forget: () => {
      changed = Promise.withResolvers<void>()
    },
    wait: () => (until.aborted ? Promise.resolve() : changed.promise),
    [Symbol.dispose]: () => {
      watcher.close()
      until.removeEventListener('abort', tell)
    },
  }
}
