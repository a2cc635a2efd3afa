/** Keeping this process's descriptors out of the programs that it starts. */
import { readdirSync } from 'node:fs'
import koffi from 'koffi'
import { type Descriptor, SystemError, syscall } from './ffi.ts'

/** In the C library since glibc 2.34. */
const closeRange = koffi.load(null).func('int close_range(unsigned int, unsigned int, unsigned int)')

const last = 0xffff_ffff
const closeOnExec = 4

/**
 * Marks every descriptor from 3 up close-on-exec. Node opens its own like that, but passes on what it was itself given by careless parents
 * (it looks at the first few only). See close_range(2), CLOSE_RANGE_CLOEXEC, Linux 5.11.
 */
export function closeDescriptorsOnExec(): void {
  if (closeRange(3, last, closeOnExec) === -1) throw new SystemError('close_range', koffi.errno())
}

/** Lets the program that this process becomes have the descriptor too. See fcntl(2), F_SETFD. */
export function keepOnExec({ fd }: Descriptor): void {
  syscall('fcntl', fd, setDescriptorFlags, 0)
}

const setDescriptorFlags = 2

/** Makes the descriptor `from` another name of what `to` is, in place of what it was. See dup(2). */
export const redirect = (from: number, to: number): void => void syscall('dup3', to, from, 0)

/** How many descriptors this process has open. */
export const openDescriptors = (): number => readdirSync('/proc/self/fd').length
