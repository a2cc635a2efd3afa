/** Before the look-up program is attached: what it would do to every port of the machine. See Documentation/bpf/bpf_prog_run.rst. */
import { failure } from '../../core/errors.ts'
import { type KernelObject, prepareRun } from '../../linux/bpf.ts'

/** `struct bpf_sk_lookup` of linux/bpf.h: where its fields stand. */
const size = 72
const at = {
  family: 8,
  protocol: 12,
  remoteIp4: 16,
  remoteIp6: 20,
  remotePort: 36,
  localIp4: 40,
  localIp6: 44,
  localPort: 60,
}
const pass = 1
const loopback4 = Buffer.from([127, 0, 0, 1])
const loopback6 = Buffer.from([...Array(15).fill(0), 1])
const families = [2, 10] as const
const protocols = [6, 17] as const

/**
 * Runs the program for every port (TCP and UDP, IPv4 and IPv6) that is not among `own`, and demands that it lets the kernel decide: a
 * program that does not would cut the machine off. Some 0.2 s.
 * @throws CutoverError `failed` naming the first packet that it would touch
 */
export function proveHarmless(program: KernelObject, own: ReadonlySet<number>): void {
  const context = Buffer.alloc(size)
  const after = Buffer.alloc(size)
  const run = prepareRun(program, context, after)
  for (const family of families) {
    for (const protocol of protocols) {
      describe(context, family, protocol)
      for (let port = 1; port <= 0xffff; port++) {
        if (protocol === 6 && own.has(port)) continue
        context.writeUInt32LE(port, at.localPort)
        const verdict = run()
        // The kernel writes the cookie of the socket that was chosen, 64 bits, to the front.
        if (verdict !== pass || after.readUInt32LE(0) !== 0 || after.readUInt32LE(4) !== 0)
          throw touched(family, protocol, port)
      }
    }
  }
}

function describe(context: Buffer, family: number, protocol: number): void {
  context.fill(0)
  context.writeUInt32LE(family, at.family)
  context.writeUInt32LE(protocol, at.protocol)
  if (family === families[0]) {
    loopback4.copy(context, at.remoteIp4)
    loopback4.copy(context, at.localIp4)
  } else {
    loopback6.copy(context, at.remoteIp6)
    loopback6.copy(context, at.localIp6)
  }
  context.writeUInt16BE(40_000, at.remotePort)
}

const touched = (family: number, protocol: number, port: number) =>
  failure(
    `The look-up program would touch ${protocol === 6 ? 'TCP' : 'UDP'} port ${port} over IPv${family === 2 ? 4 : 6}, which no app ` +
      'declares. It was not attached, and nothing was changed. This is a defect of Cutover.',
  )
