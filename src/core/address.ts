/** IP addresses in text and in bytes, and what a socket that is bound to one takes. Pure. */

/** Every address of both families. */
export const anyAddress = '::'

/** 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. The text must be an address, as the kernel and Node write them. */
export function addressBytes(text: string): Buffer {
  const bytes = Buffer.alloc(16)
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text)
  if (dotted && !text.includes(':')) bytes.writeUInt16BE(0xffff, 10)
  if (dotted) bytes.set(dotted.slice(1, 5).map(Number), 12)
  if (!text.includes(':')) return bytes
  const [head = '', tail] = text.replace(/:?(\d+\.\d+\.\d+\.\d+)$/, dotted ? ':0:0' : '$1').split('::')
  const groups = (part: string) =>
    part
      .split(':')
      .filter(Boolean)
      .map((group) => Number.parseInt(group, 16))
  const first = groups(head)
  const last = tail === undefined ? [] : groups(tail)
  const all = tail === undefined ? first : [...first, ...Array(8 - first.length - last.length).fill(0), ...last]
  for (const [index, group] of all.entries()) if (index < 6 || !dotted) bytes.writeUInt16BE(group, index * 2)
  return bytes
}

/** The one way to write these 16 bytes: `127.0.0.1` for IPv4, `::1` for IPv6 (RFC 5952). */
export function addressText(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2))
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return [...bytes.subarray(12, 16)].join('.')
  // The URL parser writes an address in that form.
  return new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]`).hostname.slice(1, -1)
}

/** `::ffff:127.0.0.1` is the same to a client as `127.0.0.1`. */
export const plainAddress = (text: string): string => text.replace(/^::ffff:(?=\d+\.)/, '')

export const isAnyAddress = (text: string): boolean => ['0.0.0.0', anyAddress].includes(plainAddress(text))

/** fe80::/10: each interface has its own, and the same may be there twice. */
export const isLinkLocal = (text: string): boolean => /^fe[89ab][0-9a-f]:/.test(text)

/** An address and a port, as in `127.0.0.1:80` and `[::1]:80`. */
export const endpointText = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
