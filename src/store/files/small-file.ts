/** Reading a whole file that somebody else may have put there: nothing is waited for, and nothing endless is read. */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { itself } from './handles.ts'

/** Only names a file: nothing happens to what it names, be it a fifo or a device. open(2), O_PATH; Node has no name for it. */
const O_PATH = 0o10000000

/**
 * The text of the file, links followed.
 * @param most - how many bytes it may have
 * @throws Error in words if it is no file, or larger; errors of the file system as they are
 */
export async function readSmall(path: string, most: number): Promise<string> {
  await using file = await openFile(path)
  return await textOf(file, most)
}

/** Opens what is a file and nothing else. @throws Error in words if it is none; errors of the file system as they are */
export async function openFile(path: string): Promise<FileHandle> {
  await using named = await open(path, O_PATH)
  const seen = await named.stat()
  if (seen.isDirectory()) throw new Error('it is a folder')
  if (!seen.isFile()) throw new Error('it is not a file')
  return await open(itself(named), constants.O_RDONLY)
}

/** The text of an open file from its beginning. Its size is not asked: it may grow, and the files of /proc have none. */
export async function textOf(file: FileHandle, most: number): Promise<string> {
  const bytes = Buffer.alloc(most + 1)
  for (let length = 0; length <= most; ) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, length)
    if (bytesRead === 0) return bytes.toString('utf8', 0, length)
    length += bytesRead
  }
  throw new Error(`it is larger than ${most.toLocaleString('en-US')} bytes`)
}
